import 'reflect-metadata';
import {
  bindMethod,
  checkFunction,
  checkInteger,
  checkKnownKeys,
  checkText,
  type KeyedMethodDecorator,
  type KeyOf,
} from '@redstart/redis-core';
import { isMissing, type MaybeKey } from '../requests/by.js';
import type { PolicyReference } from '../policies/policy-book.js';
import { RateLimitExceededError, RateLimitKeyMissingError } from '../ratelimit.errors.js';
import type { RateLimitService } from '../ratelimit.service.js';
import { getRateLimitToken } from '../ratelimit.tokens.js';
import { policyReference, type PolicyArgument } from './inline-policy.js';

export interface LimitCallsOptions<A extends unknown[], C extends unknown[] = A> {
  /** For whom a call is counted, from its first arguments. */
  key: KeyOf<A, MaybeKey>;
  /** Units that a call takes, or how to read them from the first arguments. @default 1 */
  cost?: number | KeyOf<C, number>;
  /** The name of the RedisRateLimitModule that holds the policy. @default 'default' */
  limiter?: string;
}

/** The arguments that both functions read: the longer list, if the shorter one begins it. */
type LongerOf<A extends unknown[], C extends unknown[]> = C extends [...A, ...unknown[]]
  ? C
  : A extends [...C, ...unknown[]]
    ? A
    : never;

/** A `@LimitCalls`, for the check at boot. */
export interface DeclaredCallLimit {
  readonly policy: PolicyReference;
  readonly limiter: string;
}

/** A symbol of this file, so nobody else writes under it. */
const callLimitsKey = Symbol('@LimitCalls');

/**
 * Limits the calls of a provider's method, whoever makes them: a controller, a job, a message handler.
 *
 * The method returns a promise or an Observable. A denied call rejects and the method does not run.
 *
 * @param policy a name of the module's policies, or a limit of its own, counted under the name of the class and method
 * @throws at boot: UnknownPolicyError, and Nest's own error naming the class when RedisRateLimitModule is missing. In a call:
 *   RateLimitExceededError · RateLimitKeyMissingError · RedisUnavailableError under `onError: 'closed'` · UnboundMethodError on an instance that Nest did not build
 * @example
 * @LimitCalls('quotes', { key: (airline: string) => ['airline', airline] })
 * async quote(airline: string, flight: Flight): Promise<Quote> { … }
 */
export function LimitCalls<A extends unknown[], C extends unknown[] = []>(
  policy: PolicyArgument,
  options: LimitCallsOptions<A, C>,
): KeyedMethodDecorator<LongerOf<A, C>>;
export function LimitCalls(
  policy: PolicyArgument,
  options: LimitCallsOptions<unknown[]>,
): KeyedMethodDecorator<unknown[]> {
  const decorator = '@LimitCalls';
  checkKnownKeys(options, ['key', 'cost', 'limiter'], decorator);
  const { key: keyOf, cost = 1, limiter = 'default' } = options;
  checkFunction(keyOf, `${decorator}.key`);
  checkText(limiter, `${decorator}.limiter`);
  if (typeof cost !== 'function') checkInteger(cost, `${decorator}.cost`, 0, 2 ** 31);

  return (target, method, descriptor) => {
    const reference = policyReference(policy, `${target.constructor.name}.${String(method)}`, decorator);
    bindMethod<RateLimitService>({
      decorator,
      runtime: getRateLimitToken(limiter),
      module: 'RedisRateLimitModule.forRoot()',
      async around(service, { args }, proceed) {
        const key = keyOf(...args);
        if (isMissing(key)) throw new RateLimitKeyMissingError(reference.name, 'a key of its own');
        const units = typeof cost === 'function' ? cost(...args) : cost;
        const { denial, slot } = await service.admit([{ policy: reference, key, cost: units }]);
        if (denial !== undefined) throw new RateLimitExceededError(denial, { fields: service.options.headers });
        try {
          return await proceed();
        } finally {
          await slot?.release();
        }
      },
    })(target, method, descriptor);
    const bound: unknown = descriptor.value;
    if (typeof bound === 'function') declareCallLimit(bound, { policy: reference, limiter });
  };
}

/** The `@LimitCalls` of a method. */
export function callLimitsAt(method: object): readonly DeclaredCallLimit[] {
  const limits: unknown = Reflect.getMetadata(callLimitsKey, method);
  return Array.isArray(limits) ? (limits as DeclaredCallLimit[]) : [];
}

function declareCallLimit(method: object, limit: DeclaredCallLimit): void {
  Reflect.defineMetadata(callLimitsKey, [limit, ...callLimitsAt(method)], method);
}
