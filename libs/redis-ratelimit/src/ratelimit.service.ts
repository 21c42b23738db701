import {
  checkInteger,
  checkKnownKeys,
  encodeSubject,
  OptionsError,
  type Key,
  type RedisConnection,
} from '@redstart/redis-core';
import { Decider } from './decider.js';
import type { RateLimitDecision } from './decision.js';
import type { PolicyReference } from './policies/policy-book.js';
import type { CompiledPolicy } from './policies/policy.js';
import type { ResolvedRateLimitOptions } from './ratelimit.options.js';

export interface ConsumeOptions {
  /** Units to take, an integer from 0 to 2^31; 0 looks without taking. @default 1 */
  cost?: number;
}

/** One entry of {@link RateLimitService.check}. */
export interface RateLimitCheck<Name extends string = string> extends ConsumeOptions {
  policy: Name;
  key: Key;
}

/** The same with a policy that may stand at a decorator. */
export interface ReferencedCheck {
  readonly policy: PolicyReference;
  readonly key: Key;
  readonly cost: number;
}

const largestCost = 2 ** 31;

/**
 * Rate limits, exact over all processes that share the Redis: what the decorators and the guard call too.
 *
 * The type parameter holds the names of the policies, where you want the compiler to know them:
 * `constructor(limiter: RateLimitService<PolicyName<typeof policies>>)`.
 */
export class RateLimitService<Name extends string = string> {
  /** @internal */
  readonly options: ResolvedRateLimitOptions;
  readonly #decider: Decider;

  constructor(connection: RedisConnection, options: ResolvedRateLimitOptions) {
    this.options = options;
    this.#decider = new Decider(connection, options);
  }

  /**
   * Counts one call against `policy` for `key` and says whether it may go on.
   *
   * All limits of the policy are decided in one script: every one is charged, or none. A denial writes nothing.
   *
   * @param key whom it is counted for. The decorators' `by.user()` counts for `['user', id]`.
   * @returns the decision; times are milliseconds
   * @throws UnknownPolicyError · OptionsError for a wrong cost · RedisUnavailableError under `onError: 'closed'`
   * @example  const { allowed, retryAfterMs } = await limiter.consume('api', ['user', user.id]);
   * @see      one EVALSHA: TIME, HGETALL; when allowed HINCRBY, HDEL, PEXPIRE
   */
  consume(policy: Name, key: Key, options: ConsumeOptions = {}): Promise<RateLimitDecision> {
    return this.#one(policy, key, options, true);
  }

  /**
   * Says what {@link consume} would say, and counts nothing.
   *
   * @throws like {@link consume}
   * @see    one EVALSHA: TIME, HGETALL
   */
  peek(policy: Name, key: Key, options: ConsumeOptions = {}): Promise<RateLimitDecision> {
    return this.#one(policy, key, options, false);
  }

  /**
   * Counts one call against several policies, in order, until one denies it.
   *
   * Neighbours of the list with the same key are decided in one script: all of them are charged, or none. Entries with different keys live at different
   * places of a Cluster, so they are decided one after the other; when a later one denies, the earlier ones stay charged.
   *
   * @returns the decisions so far: the call may go on when all of them allow it
   * @throws like {@link consume} · OptionsError when a policy stands there twice for one key
   */
  async check(checks: readonly RateLimitCheck<Name>[]): Promise<RateLimitDecision[]> {
    return this.checkReferenced(checks.map(({ policy, key, cost = 1 }) => ({ policy: { name: policy }, key, cost })));
  }

  /** @internal {@link check} for decorators, whose policy may be their own. */
  async checkReferenced(checks: readonly ReferencedCheck[]): Promise<RateLimitDecision[]> {
    const decisions: RateLimitDecision[] = [];
    for (const { key, charges } of this.#neighbours(checks)) {
      const next = await this.#decider.decide(key, charges, true);
      decisions.push(...next);
      if (next.some(({ allowed }) => !allowed)) break;
    }
    return decisions;
  }

  /**
   * Forgets what was counted against `policy` for `key`. The local limiters of other processes keep theirs.
   *
   * @returns whether there was anything
   * @throws UnknownPolicyError · RedisUnavailableError
   * @see    one UNLINK
   */
  async reset(policy: Name, key: Key): Promise<boolean> {
    return this.#decider.reset(this.options.policies.get(policy), key);
  }

  async #one(name: Name, key: Key, options: ConsumeOptions, take: boolean): Promise<RateLimitDecision> {
    checkKnownKeys(options, ['cost'], 'consume');
    const policy = this.options.policies.get(name);
    const [decision] = await this.#decider.decide(key, [{ policy, cost: checkCost(options.cost ?? 1) }], take);
    if (decision === undefined) throw new TypeError('A charge has a decision.');
    return decision;
  }

  #neighbours(checks: readonly ReferencedCheck[]) {
    const groups: { key: Key; id: string; charges: { policy: CompiledPolicy; cost: number }[] }[] = [];
    for (const { policy: reference, key, cost } of checks) {
      const policy = this.options.policies.resolve(reference);
      const charge = { policy, cost: checkCost(cost) };
      const id = encodeSubject(key);
      const last = groups.at(-1);
      if (last?.id !== id) {
        groups.push({ key, id, charges: [charge] });
        continue;
      }
      if (last.charges.some((other) => other.policy === policy)) {
        throw new OptionsError('check', `names the policy "${policy.name}" twice for one key. Add up the cost.`);
      }
      last.charges.push(charge);
    }
    return groups;
  }
}

function checkCost(cost: number): number {
  return checkInteger(cost, 'cost', 0, largestCost);
}
