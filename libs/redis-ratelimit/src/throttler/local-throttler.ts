import { LRUCache } from 'lru-cache';
import type { Clock } from '@redstart/redis-core';
import type { ThrottlerRule, ThrottlerVerdict } from '../scripts/throttler.js';

/** One key: when each counted hit came, oldest first, and until when it is blocked. */
interface LocalCount {
  readonly hits: number[];
  blockedUntil: number;
}

/**
 * Counts hits within this process while Redis is away, as the script does.
 *
 * A count is made at the first hit on its key and kept by recent use: beyond `maxKeys`, the one unused for longest is forgotten. Only allowed hits are
 * kept, so a count never holds more of them than the limit. There are no timers.
 */
export class LocalThrottler {
  readonly #counts: LRUCache<string, LocalCount>;
  readonly #clock: Clock;

  constructor(maxKeys: number, clock: Clock) {
    this.#counts = new LRUCache({ max: maxKeys });
    this.#clock = clock;
  }

  get size(): number {
    return this.#counts.size;
  }

  hit(key: string, { limit, ttlMs, blockMs }: ThrottlerRule): ThrottlerVerdict {
    const now = this.#clock.now();
    const count = this.#count(key);
    if (count.blockedUntil > now) return denied(limit, count.blockedUntil - now);

    const live = count.hits.findIndex((at) => at + ttlMs > now);
    count.hits.splice(0, live === -1 ? count.hits.length : live);
    if (count.hits.length < limit) {
      count.hits.push(now);
      const [oldest = now] = count.hits;
      return { allowed: true, hits: count.hits.length, waitMs: oldest + ttlMs - now };
    }

    if (blockMs > 0) {
      count.hits.length = 0;
      count.blockedUntil = now + blockMs;
      return denied(limit, blockMs);
    }
    const next = limit > 0 ? count.hits.at(-limit) : undefined;
    return denied(limit, (next ?? now) + ttlMs - now);
  }

  #count(key: string): LocalCount {
    const count = this.#counts.get(key) ?? { hits: [], blockedUntil: 0 };
    this.#counts.set(key, count);
    return count;
  }
}

function denied(limit: number, waitMs: number): ThrottlerVerdict {
  return { allowed: false, hits: limit + 1, waitMs };
}
