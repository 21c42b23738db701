import { Inject } from '@nestjs/common';
import type { SomeCacheDefinition } from './definition/define-cache.js';

/** The injection token of a {@link CacheService}. Nest prints it when nothing provides it, so it says what to import. */
export function getCacheToken(name = 'default'): symbol {
  return Symbol.for(
    name === 'default'
      ? 'CacheService (import RedisCacheModule.forRoot())'
      : `CacheService "${name}" (import RedisCacheModule.forRoot({ name: '${name}' }))`,
  );
}

/** @internal The injection token of the connection that a cache uses, for what belongs to it. */
export function getCacheConnectionToken(name = 'default'): symbol {
  return Symbol.for(`connection of the cache "${name}" (import RedisCacheModule.forRoot())`);
}

/** The injection token of the `DefinedCache` of a definition. Nest prints it when nothing provides it, so it says what to import. */
export function getDefinedCacheToken(definition: SomeCacheDefinition): symbol {
  return definition.token;
}

/**
 * Injects the cache of a name: a shorthand for `Inject(getCacheToken(name))`; the default one can be injected by its class, too. Or that of a definition, which
 * `RedisCacheModule.forFeature` has bound: a shorthand for `Inject(getDefinedCacheToken(definition))`.
 *
 * @example  constructor(@InjectCache('sessions') private readonly sessions: CacheService) {}
 * @example  constructor(@InjectCache(flights) private readonly flights: DefinedCache<string, Flight>) {}
 */
export const InjectCache = (which?: string | SomeCacheDefinition): ParameterDecorator & PropertyDecorator =>
  Inject(typeof which === 'object' ? getDefinedCacheToken(which) : getCacheToken(which));
