import 'reflect-metadata';
import {
  bindMethod,
  checkFunction,
  checkInteger,
  checkKnownKeys,
  checkText,
  encodeSubject,
  type KeyedMethodDecorator,
  type KeyOf,
} from '@redstart/redis-core';
import { isMissing, type MaybeKey } from '../requests/by.js';
import type { PolicyReference } from '../policies/policy-book.js';
import { RateLimitExceededError, RateLimitKeyMissingError } from '../ratelimit.errors.js';
import { checkCost, withKey } from '../policies/usable-input.js';
import type { ReferencedCheck } from '../deciding/charges.js';
import type { RateLimitService } from '../ratelimit.service.js';
import { getRateLimitToken } from '../ratelimit.tokens.js';
import { holding } from '../slots/current-slot.js';
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
 * The method returns a promise or an Observable. A denied call rejects and the method does not run. Several that stand right above each other, of one module, are decided together: all are charged, or
 * none.
 *
 * @param policy a name of the module's policies, or a limit of its own, counted under the name of the class and method
 * @throws at boot: UnknownPolicyError, and Nest's own error naming the class when RedisRateLimitModule is missing. In a call:
 *   RateLimitExceededError · RateLimitKeyMissingError · RateLimitInputError for a wrong key or cost · RedisUnavailableError under `onError: 'closed'` · UnboundMethodError on an instance that Nest did not build
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
    const limit: CallLimit = { policy: reference, limiter, keyOf, cost };
    const below = limitsBound(descriptor.value, limiter);
    const limits = below ?? [limit];
    if (below === undefined) apply(limits, limiter)(target, method, descriptor);
    else below.unshift(limit);
    const bound: unknown = descriptor.value;
    if (typeof bound !== 'function') return;
    boundLimits.set(bound, limits);
    declareCallLimit(bound, { policy: reference, limiter });
  };
}

/** One `@LimitCalls`, as it is applied. */
interface CallLimit extends DeclaredCallLimit {
  readonly keyOf: (...args: unknown[]) => MaybeKey;
  readonly cost: number | ((...args: unknown[]) => number);
}

/** The limits that a bound method applies, in the order of the text. Those that stand right above each other join in, so that all are decided together. */
const boundLimits = new WeakMap<object, CallLimit[]>();

function limitsBound(method: unknown, limiter: string): CallLimit[] | undefined {
  const limits = typeof method === 'function' ? boundLimits.get(method) : undefined;
  return limits?.[0]?.limiter === limiter ? limits : undefined;
}

/** Has a method admitted by limits before it runs. */
function apply(limits: readonly CallLimit[], limiter: string): KeyedMethodDecorator<unknown[]> {
  return bindMethod<RateLimitService>({
    decorator: '@LimitCalls',
    runtime: getRateLimitToken(limiter),
    module: 'RedisRateLimitModule.forRoot()',
    async around(service, { args }, proceed) {
      const { denial, decisions, slot } = await service.admit(checksOf(limits, args));
      if (denial !== undefined) {
        const all = decisions.filter((decision) => decision !== undefined);
        throw new RateLimitExceededError(denial, { all, fields: service.options.headers });
      }
      try {
        return await (slot === undefined ? proceed() : holding(slot, proceed));
      } finally {
        await slot?.release();
      }
    },
  });
}

/** Of two limits of one policy that count for the same key, the dearer one is taken, as at handlers. */
function checksOf(limits: readonly CallLimit[], args: unknown[]): ReferencedCheck[] {
  if (limits.length === 1) return limits.map((limit) => checkOf(limit, args));
  const checks = new Map<string, ReferencedCheck>();
  for (const limit of limits) {
    const check = checkOf(limit, args);
    const { name } = limit.policy;
    const id = `${name} ${withKey(name, () => encodeSubject(check.key))}`;
    const other = checks.get(id);
    if (other === undefined || other.cost < check.cost) checks.set(id, check);
  }
  return [...checks.values()];
}

function checkOf({ policy, keyOf, cost }: CallLimit, args: unknown[]): ReferencedCheck {
  const key = withKey(policy.name, () => keyOf(...args));
  if (isMissing(key)) throw new RateLimitKeyMissingError(policy.name, 'a key of its own');
  const units = checkCost(policy.name, typeof cost === 'function' ? cost(...args) : cost);
  return { policy, key, cost: units };
}

/** The `@LimitCalls` of a method. */
export function callLimitsAt(method: object): readonly DeclaredCallLimit[] {
  const limits: unknown = Reflect.getMetadata(callLimitsKey, method);
  return Array.isArray(limits) ? (limits as DeclaredCallLimit[]) : [];
}

function declareCallLimit(method: object, limit: DeclaredCallLimit): void {
  Reflect.defineMetadata(callLimitsKey, [limit, ...callLimitsAt(method)], method);
}
