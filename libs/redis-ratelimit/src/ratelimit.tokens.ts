import { Inject } from '@nestjs/common';

/** The injection token of a `RateLimitService`. Nest prints it when nothing provides it, so it says what to import. */
export function getRateLimitToken(name = 'default'): symbol {
  return Symbol.for(`RateLimitService${describe(name)}`);
}

/** Injects the `RateLimitService` of a name: a shorthand for `Inject(getRateLimitToken(name))`. */
export const InjectRateLimit = (name?: string): ParameterDecorator & PropertyDecorator =>
  Inject(getRateLimitToken(name));

/** The token of what limits the requests of one module; the guards ask for it. */
export function getRequestLimiterToken(name = 'default'): symbol {
  return Symbol.for(`RequestLimiter${describe(name)}`);
}

/** The injection token of the `RedisThrottlerStorage` of a module; that of the unnamed one is also its class. */
export function getThrottlerStorageToken(name = 'default'): symbol {
  return Symbol.for(`RedisThrottlerStorage${describe(name)}`);
}

function describe(name: string): string {
  return name === 'default'
    ? ' (import RedisRateLimitModule.forRoot())'
    : ` "${name}" (import RedisRateLimitModule.forRoot({ name: '${name}', … }))`;
}
