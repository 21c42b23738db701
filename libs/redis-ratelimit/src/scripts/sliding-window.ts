import type { SlidingWindow } from '../policies/sliding-window.js';
import type { Algorithm, LocalCounter, Verdict } from './algorithm.js';

/**
 * The conservative sliding window: time is cut into buckets, `count` of which cover the window. A call is counted in the bucket of its moment, and
 * admitted when that bucket, the `count` before it and its own cost stay within the limit. The oldest of those buckets has left the
 * window in part but counts in full, so no window of that length ever holds more than the limit, at whatever moment it starts. The price
 * is that a charge comes back up to one bucket late.
 *
 * A bucket ahead of the clock means that the clock went back, after a failover for example. It then stands still at that bucket until it has caught up, or
 * until the key has expired.
 *
 * State per key: HASH  bucket number -> cost taken in it, PX = window + 2 buckets
 */
const lua = `
  look = function(key, now, cost, limit, size, count)
    local stored = redis.call('HGETALL', key)
    local current = math.floor(now / size)
    local buckets = {}
    for i = 1, #stored, 2 do
      local bucket = { at = tonumber(stored[i]), taken = tonumber(stored[i + 1]) }
      buckets[#buckets + 1] = bucket
      if bucket.at > current then current = bucket.at end
    end
    now = math.max(now, current * size)
    table.sort(buckets, function(a, b) return a.at < b.at end)

    local used, live, gone = 0, {}, {}
    for _, bucket in ipairs(buckets) do
      if bucket.at >= current - count then
        used = used + bucket.taken
        live[#live + 1] = bucket
      else
        gone[#gone + 1] = string.format('%.0f', bucket.at)
      end
    end

    local ok = used + cost <= limit
    local retry = 0
    if cost > limit then
      retry = -1
    elseif not ok then
      local excess = used + cost - limit
      for _, bucket in ipairs(live) do
        excess = excess - bucket.taken
        if excess <= 0 then
          retry = (bucket.at + count + 1) * size - now
          break
        end
      end
    end
    local newest = live[#live]
    return {
      ok = ok, retry = retry, mark = current,
      remaining = math.max(0, limit - used),
      reset = newest and (newest.at + count + 1) * size - now or 0,
      full = (current + count + 1) * size - now,
      ttl = (count + 2) * size, gone = gone,
    }
  end,

  take = function(key, verdict, cost)
    redis.call('HINCRBY', key, string.format('%.0f', verdict.mark), cost)
    if #verdict.gone > 0 then redis.call('HDEL', key, unpack(verdict.gone)) end
    redis.call('PEXPIRE', key, string.format('%.0f', verdict.ttl))
    verdict.remaining = verdict.remaining - cost
    verdict.reset = verdict.full
  end`;

/** The same in TypeScript. `test/sliding-window.model.spec.ts` holds the two against each other. */
class SlidingWindowCounter implements LocalCounter {
  readonly #taken = new Map<number, number>();
  readonly #limit: SlidingWindow;

  constructor(limit: SlidingWindow) {
    this.#limit = limit;
  }

  look(nowMs: number, cost: number): Verdict {
    const { limit } = this.#limit;
    const { now, current, live } = this.#at(nowMs);
    const used = live.reduce((sum, [, taken]) => sum + taken, 0);
    const newest = live.at(-1);
    return {
      allowed: used + cost <= limit,
      remaining: Math.max(0, limit - used),
      retryAfterMs: cost > limit ? Infinity : this.#retryAfter(live, used + cost - limit, now),
      resetAfterMs: newest === undefined ? 0 : this.#releasedAt(newest[0]) - now,
      mark: current,
    };
  }

  take(nowMs: number, cost: number): Verdict {
    const { current, live } = this.#at(nowMs);
    for (const bucket of this.#taken.keys()) {
      if (!live.some(([at]) => at === bucket)) this.#taken.delete(bucket);
    }
    this.#taken.set(current, (this.#taken.get(current) ?? 0) + cost);
    return { ...this.look(nowMs, 0), allowed: true, retryAfterMs: 0 };
  }

  /** The buckets that count at a moment, oldest first. */
  #at(nowMs: number) {
    const { bucketMs, buckets } = this.#limit;
    const current = Math.max(Math.floor(nowMs / bucketMs), ...this.#taken.keys());
    const live = [...this.#taken].filter(([at]) => at >= current - buckets).sort(([a], [b]) => a - b);
    return { now: Math.max(nowMs, current * bucketMs), current, live };
  }

  #retryAfter(live: readonly (readonly [at: number, taken: number])[], excess: number, now: number): number {
    if (excess <= 0) return 0;
    let left = excess;
    for (const [at, taken] of live) {
      left -= taken;
      if (left <= 0) return this.#releasedAt(at) - now;
    }
    return Infinity;
  }

  /** When a bucket stops counting. */
  #releasedAt(bucket: number): number {
    return (bucket + this.#limit.buckets + 1) * this.#limit.bucketMs;
  }
}

export const slidingWindowAlgorithm: Algorithm<SlidingWindow> = {
  id: 'sw',
  lua,
  parameters: ({ limit, bucketMs, buckets }) => [limit, bucketMs, buckets],
  // Not the limit: a raised or lowered one takes effect at once, on what has been counted already.
  fingerprint: ({ windowMs, buckets }) => `sw-${windowMs}-${buckets}`,
  counter: (limit) => new SlidingWindowCounter(limit),
};
