import { Inject } from '@nestjs/common';

/** The injection token of a {@link CacheService}. Nest prints it when nothing provides it, so it says what to import. */
export function getCacheToken(name = 'default'): symbol {
  return Symbol.for(
    name === 'default'
      ? 'CacheService (import RedisCacheModule.forRoot())'
      : `CacheService "${name}" (import RedisCacheModule.forRoot({ name: '${name}' }))`,
  );
}

/**
 * Injects the {@link CacheService} of a name: a shorthand for `Inject(getCacheToken(name))`. The default one can be injected by its class, too.
 *
 * @example  constructor(@InjectCache('sessions') private readonly sessions: CacheService) {}
 */
export const InjectCache = (name?: string): ParameterDecorator & PropertyDecorator => Inject(getCacheToken(name));
