import { Inject } from '@nestjs/common';

/** The injection token of a LockService. Nest prints it when nothing provides it, so it says what to import. */
export function getLockToken(name = 'default'): symbol {
  return Symbol.for(
    name === 'default'
      ? 'LockService (import RedisLockModule.forRoot())'
      : `LockService "${name}" (import RedisLockModule.forRoot({ name: '${name}' }))`,
  );
}

/** Injects the LockService of a module by its name. The default one is also injected by its class. */
export const InjectLock = (name?: string): ParameterDecorator & PropertyDecorator => Inject(getLockToken(name));
