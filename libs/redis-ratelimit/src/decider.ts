import { RedisUnavailableError, type Key, type RedisConnection } from '@redstart/redis-core';
import { combine, type LimitDecision, type RateLimitDecision } from './decision.js';
import { limitKeys } from './keys.js';
import { LocalLimiter } from './local/local-limiter.js';
import type { CompiledLimit, CompiledPolicy } from './policies/policy.js';
import type { Verdict } from './scripts/algorithm.js';
import { runDecide, type LimitCharge } from './scripts/decide.js';

/** A policy and what a call takes from it. */
export interface PolicyCharge {
  readonly policy: CompiledPolicy;
  readonly cost: number;
}

/** One limit of one policy of a call. */
interface Entry extends LimitCharge {
  readonly policy: CompiledPolicy;
  readonly compiled: CompiledLimit;
}

interface Outcome {
  readonly verdict: Verdict;
  readonly decidedBy: RateLimitDecision['decidedBy'];
}

/**
 * Decides calls: by the script, and while Redis does not answer by what each policy says to that.
 *
 * An outage is not reported here: the connection traces every failed call on the `redstart:operation` channel, and the decision says who made it.
 */
export class Decider {
  readonly #connection: RedisConnection;
  readonly #budgetMs: number;
  readonly #local: LocalLimiter;

  constructor(connection: RedisConnection, options: { readonly budgetMs: number; readonly localKeys: number }) {
    this.#connection = connection;
    this.#budgetMs = options.budgetMs;
    this.#local = new LocalLimiter(options.localKeys, connection.clock);
  }

  /** @returns one decision per charge; unless all of them are allowed, nothing was charged */
  async decide(subject: Key, charges: readonly PolicyCharge[], take: boolean): Promise<RateLimitDecision[]> {
    const keyOf = limitKeys(this.#connection.keys, subject);
    const entries = charges.flatMap(({ policy, cost }) =>
      policy.limits.map((compiled): Entry => ({ policy, compiled, cost, key: keyOf(compiled), limit: compiled.limit })),
    );
    const outcomes = await this.#outcomes(entries, take);
    const charged = take && outcomes.every(({ verdict }) => verdict.allowed);
    return charges.map(({ policy }) => {
      const own = entries.flatMap((entry, index) => {
        const outcome = outcomes[index];
        return entry.policy === policy && outcome !== undefined ? [{ entry, outcome }] : [];
      });
      return decisionOf(policy, own, charged);
    });
  }

  /** Forgets what has been counted. @returns whether there was anything in Redis */
  async reset(policy: CompiledPolicy, subject: Key): Promise<boolean> {
    const keys = policy.limits.map(limitKeys(this.#connection.keys, subject));
    for (const key of keys) this.#local.forget(key);
    const deleted = await this.#connection.call(this.#call('reset'), (client) => client.unlink(...keys));
    return deleted > 0;
  }

  async #outcomes(entries: readonly Entry[], take: boolean): Promise<Outcome[]> {
    try {
      const { verdicts } = await runDecide(this.#connection, this.#call(take ? 'consume' : 'peek'), entries, take);
      return verdicts.map((verdict) => ({ verdict, decidedBy: 'redis' }));
    } catch (error) {
      if (!(error instanceof RedisUnavailableError)) throw error;
      if (entries.some(({ policy }) => policy.onError === 'closed')) throw error;
      return this.#withoutRedis(entries, take);
    }
  }

  #withoutRedis(entries: readonly Entry[], take: boolean): Outcome[] {
    const local = entries.filter(({ policy }) => policy.onError === 'local');
    const verdicts = this.#local.decide(local, take);
    return entries.map((entry) => {
      const verdict = verdicts[local.indexOf(entry)];
      return verdict === undefined
        ? { verdict: unlimited(entry.limit.limit), decidedBy: 'open' }
        : { verdict, decidedBy: 'local' };
    });
  }

  #call(operation: string) {
    return { library: 'redis-ratelimit', operation: `ratelimit.${operation}`, budgetMs: this.#budgetMs };
  }
}

function unlimited(limit: number): Verdict {
  return { allowed: true, remaining: limit, retryAfterMs: 0, resetAfterMs: 0, mark: 0 };
}

function decisionOf(
  policy: CompiledPolicy,
  rows: readonly { entry: Entry; outcome: Outcome }[],
  charged: boolean,
): RateLimitDecision {
  const limits = rows.map(({ entry, outcome: { verdict } }): LimitDecision =>
    Object.freeze({
      name: entry.compiled.name,
      allowed: verdict.allowed,
      limit: entry.limit.limit,
      windowMs: entry.limit.windowMs,
      remaining: verdict.remaining,
      retryAfterMs: verdict.retryAfterMs,
      resetAfterMs: verdict.resetAfterMs,
    }),
  );
  const decidedBy = rows[0]?.outcome.decidedBy ?? 'open';
  const cost = rows[0]?.entry.cost ?? 0;
  const receipt =
    charged && cost > 0 && decidedBy === 'redis'
      ? Object.freeze({
          policy: policy.name,
          cost,
          charges: rows.map(({ entry, outcome }) => ({ key: entry.key, mark: outcome.verdict.mark })),
        })
      : undefined;
  return combine(policy.name, limits, decidedBy, receipt);
}
