import { encodeSubject } from '@redstart/redis-core';
import { RateLimitKeyMissingError } from '../ratelimit.errors.js';
import { checkCost, refuseKey, withKey } from '../policies/usable-input.js';
import type { ResolvedRateLimitOptions } from '../ratelimit.options.js';
import { anonymousKey } from './anonymous.js';
import { isMissing, wantedBy, type MaybeKey, type RequestKey } from './by.js';
import type { CallCheck } from './call-ledger.js';
import type { RateLimitContext, RequestMatch } from './context.js';
import type { DeclaredLimit } from './declared-limits.js';
import { isLater } from './later.js';

/**
 * Finds out what a call is to be checked for: asks the functions of its limits for the key and the cost, one limit after the other. What they know at once
 * is not awaited.
 */
export class CallChecks {
  constructor(private readonly options: Pick<ResolvedRateLimitOptions, 'key' | 'anonymous'>) {}

  /** @throws RateLimitKeyMissingError · RateLimitInputError · what the functions throw */
  of(limits: readonly DeclaredLimit[], context: RateLimitContext): CallCheck[] | Promise<CallCheck[]> {
    const checks: CallCheck[] = [];
    for (const [index, limit] of limits.entries()) {
      const check = this.#checkOf(limit, context);
      if (check instanceof Promise) return this.#withRest(checks, check, limits.slice(index + 1), context);
      if (check !== undefined) checks.push(check);
    }
    return checks;
  }

  async #withRest(
    checks: readonly CallCheck[],
    check: Promise<CallCheck | undefined>,
    rest: readonly DeclaredLimit[],
    context: RateLimitContext,
  ): Promise<CallCheck[]> {
    const known = await check;
    return [...checks, ...(known === undefined ? [] : [known]), ...(await this.of(rest, context))];
  }

  /** `undefined` for a limit that leaves the call out. */
  #checkOf(limit: DeclaredLimit, context: RateLimitContext): CallCheck | undefined | Promise<CallCheck | undefined> {
    return limit.skip === undefined ? this.#counted(limit, context) : this.#unless(limit.skip, limit, context);
  }

  async #unless(skip: RequestMatch, limit: DeclaredLimit, context: RateLimitContext): Promise<CallCheck | undefined> {
    return (await skip(context)) ? undefined : this.#counted(limit, context);
  }

  #counted(limit: DeclaredLimit, context: RateLimitContext): CallCheck | Promise<CallCheck> {
    const keyOf = limit.key ?? this.options.key;
    const key = keyFrom(limit.policy.name, () => keyOf(context));
    const cost = isLater(key) || typeof limit.cost !== 'function' ? limit.cost : limit.cost(context);
    if (isLater(key) || isLater(cost) || typeof cost === 'function' || isMissing(key)) {
      return this.#countedLater(limit, keyOf, key, cost, context);
    }
    return checkOf(limit, key, cost, context);
  }

  async #countedLater(
    limit: DeclaredLimit,
    keyOf: RequestKey,
    found: MaybeKey | PromiseLike<MaybeKey>,
    price: DeclaredLimit['cost'] | PromiseLike<number>,
    context: RateLimitContext,
  ): Promise<CallCheck> {
    const { name } = limit.policy;
    const key = isLater(found) ? await found.then(undefined, (error: unknown) => refuseKey(name, error)) : found;
    const cost = await (typeof price === 'function' ? price(context) : price);
    if (!isMissing(key)) return checkOf(limit, key, cost, context);
    checkCost(name, cost);
    const anonymous = await anonymousKey(limit.anonymous ?? this.options.anonymous, context);
    if (anonymous === undefined) throw new RateLimitKeyMissingError(name, wantedBy(keyOf));
    const policy = anonymous.policy === undefined ? limit.policy : { name: anonymous.policy };
    return checkOf({ ...limit, policy }, anonymous.key, cost, context);
  }
}

function checkOf(
  { policy, refundOn }: DeclaredLimit,
  key: NonNullable<MaybeKey>,
  cost: number,
  context: RateLimitContext,
): CallCheck {
  checkCost(policy.name, cost);
  return { policy, key, subject: subjectOf(policy.name, key), cost, refundOn, context };
}

function subjectOf(policy: string, key: NonNullable<MaybeKey>): string {
  return withKey(policy, () => encodeSubject(key));
}

function keyFrom(policy: string, keyOf: () => MaybeKey | Promise<MaybeKey>): MaybeKey | Promise<MaybeKey> {
  return withKey(policy, keyOf);
}
