import { checkNumber, RedisUnavailableError, type RedisConnection } from '@redstart/redis-core';
import { throttlerKeys } from '../keys.js';
import type { OnError } from '../policies/policy-options.js';
import { runThrottler, type ThrottlerRule, type ThrottlerVerdict } from '../scripts/throttler.js';
import { LocalThrottler } from './local-throttler.js';

/** What {@link RedisThrottlerStorage.increment} answers: the `ThrottlerStorageRecord` of @nestjs/throttler. Times are whole seconds, rounded up. */
export interface ThrottlerRecord {
  /** How many hits the window holds, this one included; above the limit means denied. */
  totalHits: number;
  /** When the oldest of them leaves the window, so that one more is allowed. */
  timeToExpire: number;
  isBlocked: boolean;
  /** When a denied hit would be allowed; 0 when it was allowed. */
  timeToBlockExpire: number;
}

export interface ThrottlerStorageOptions {
  readonly budgetMs: number;
  readonly onError: OnError;
  readonly localKeys: number;
}

/** Longer than anybody waits, and far from where integers of Lua and Redis end. */
const centuryMs = 100 * 365 * 86_400_000;
const largestLimit = 2 ** 31;

/**
 * The storage of @nestjs/throttler in Redis: its guard counts over all processes. `RedisRateLimitModule` provides it; it asks for no policies.
 *
 * It needs nothing of @nestjs/throttler itself: it has the shape of its `ThrottlerStorage`. While Redis does not answer within the
 * module's `budget`, its `onError` decides.
 *
 * @example
 * ThrottlerModule.forRootAsync({
 *   inject: [RedisThrottlerStorage],
 *   useFactory: (storage: RedisThrottlerStorage) => ({ throttlers: [{ limit: 100, ttl: minutes(1) }], storage }),
 * })
 */
export class RedisThrottlerStorage {
  readonly #connection: RedisConnection;
  readonly #options: ThrottlerStorageOptions;
  readonly #local: LocalThrottler;

  constructor(connection: RedisConnection, options: ThrottlerStorageOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#local = new LocalThrottler(options.localKeys, connection.clock);
  }

  /**
   * Counts a hit and says whether it is allowed: at most `limit` in any `ttl`. One above is denied and blocks for `blockDuration`, after which counting starts
   * afresh. Hits while blocked change nothing. With `blockDuration` 0 a hit is denied until the window has room again.
   *
   * @param ttl milliseconds, exact also below a second; 0 has no window
   * @param limit `Infinity` is not counted
   * @param blockDuration milliseconds
   * @throws OptionsError for NaN · RedisUnavailableError under `onError: 'closed'`
   * @see    one EVALSHA: TIME, GET, LLEN, LINDEX; when allowed LTRIM, RPUSH, PEXPIRE; when a block begins DEL, SET
   */
  async increment(
    key: string,
    ttl: number,
    limit: number,
    blockDuration: number,
    throttlerName: string,
  ): Promise<ThrottlerRecord> {
    const rule = ruleOf(ttl, limit, blockDuration);
    // The log of hits is as long as the limit, so what has none is not written down.
    if (rule.limit === Infinity) return toRecord({ allowed: true, hits: 1, waitMs: rule.ttlMs });
    return toRecord(await this.#hit(throttlerKeys(this.#connection.keys, throttlerName, key), rule));
  }

  async #hit(keys: ReturnType<typeof throttlerKeys>, rule: ThrottlerRule): Promise<ThrottlerVerdict> {
    const { budgetMs, onError } = this.#options;
    try {
      const call = { library: 'redis-ratelimit', operation: 'throttler.increment', budgetMs };
      return await runThrottler(this.#connection, call, keys, rule);
    } catch (error) {
      if (!(error instanceof RedisUnavailableError) || onError === 'closed') throw error;
      return onError === 'open' ? { allowed: true, hits: 0, waitMs: 0 } : this.#local.hit(keys.hits, rule);
    }
  }
}

/** Like throttler's own storage it takes what is below 0 for 0. Its guard lets through any number, as routes may compute them. */
function ruleOf(ttl: number, limit: number, blockDuration: number): ThrottlerRule {
  const most = atLeastZero(limit, 'limit');
  return {
    limit: most === Infinity ? most : Math.min(Math.floor(most), largestLimit),
    ttlMs: Math.min(Math.ceil(atLeastZero(ttl, 'ttl')), centuryMs),
    blockMs: Math.min(Math.ceil(atLeastZero(blockDuration, 'blockDuration')), centuryMs),
  };
}

function atLeastZero(value: number, option: string): number {
  return Math.max(0, checkNumber(value, `RedisThrottlerStorage.increment(${option})`, -Infinity, Infinity));
}

function toRecord({ allowed, hits, waitMs }: ThrottlerVerdict): ThrottlerRecord {
  const seconds = Math.ceil(waitMs / 1_000);
  return allowed
    ? { totalHits: hits, timeToExpire: seconds, isBlocked: false, timeToBlockExpire: 0 }
    : { totalHits: hits, timeToExpire: seconds, isBlocked: true, timeToBlockExpire: Math.max(1, seconds) };
}
