import { defineScript, type RedisCall, type RedisConnection } from '@redstart/redis-core';

/** What one hit is measured against. Whole numbers, times in milliseconds. */
export interface ThrottlerRule {
  readonly limit: number;
  readonly ttlMs: number;
  /** 0: a hit above the limit is denied and blocks nothing. */
  readonly blockMs: number;
}

/** What became of a hit. */
export interface ThrottlerVerdict {
  readonly allowed: boolean;
  /** How many hits the window holds, this one included; for a denial the limit + 1. */
  readonly hits: number;
  /** Allowed: until the oldest of them leaves the window. Denied: until a hit is allowed again. May hold fractions. */
  readonly waitMs: number;
}

/**
 * Counts a hit in the window of the last `ttl`, unless it is blocked or above the limit. The window is exact to the microsecond: each counted hit
 * leaves it `ttl` after it came.
 *
 * The block is looked at first, so hits while blocked change nothing. The hit above the limit starts the block, and empties the window: when the
 * block is over, counting starts afresh. Without a block a denial writes nothing.
 *
 * When the clock has gone back, after a failover for example, the window stands still at its last hit until the clock has caught up, or until the key has expired.
 *
 * KEYS  hits, block
 * ARGV  ttlMs, limit, blockMs
 * Returns  {server's time in us, allowed 0 | 1, hits in the window (denied: limit + 1), us to wait: see {@link ThrottlerVerdict}}
 */
export const throttlerScript = defineScript<ThrottlerVerdict & { readonly atUs: number }>({
  name: 'throttler:increment',
  keys: 2,
  lua: `
    local ttl, limit, block = tonumber(ARGV[1]) * 1000, tonumber(ARGV[2]), tonumber(ARGV[3]) * 1000
    local time = redis.call('TIME')
    local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

    local blockedUntil = tonumber(redis.call('GET', KEYS[2]) or 0)
    if blockedUntil > now then return { now, 0, limit + 1, blockedUntil - now } end

    local function hit(index) return tonumber(redis.call('LINDEX', KEYS[1], index)) end
    local kept = redis.call('LLEN', KEYS[1])
    local at = now
    if kept > 0 then at = math.max(now, hit(-1)) end

    -- How many have left the window. As a rule the oldest has not; otherwise they are found by halving.
    local gone, live = 0, kept
    if kept == 0 or hit(0) > at - ttl then live = 0 end
    while gone < live do
      local middle = math.floor((gone + live) / 2)
      if hit(middle) <= at - ttl then gone = middle + 1 else live = middle end
    end

    local hits = kept - gone
    if hits < limit then
      local oldest = at
      if hits > 0 then oldest = hit(gone) end
      if gone > 0 then redis.call('LTRIM', KEYS[1], gone, -1) end
      redis.call('RPUSH', KEYS[1], string.format('%.0f', at))
      redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ttl / 1000 + 1))
      return { now, 1, hits + 1, oldest + ttl - at }
    end

    if block > 0 then
      redis.call('DEL', KEYS[1])
      redis.call('SET', KEYS[2], string.format('%.0f', now + block), 'PX', string.format('%.0f', block / 1000 + 1))
      return { now, 0, limit + 1, block }
    end
    -- With the limit lowered meanwhile the window holds more than it, and more than the oldest has to leave.
    local wait = ttl
    if limit > 0 then wait = hit(kept - limit) + ttl - now end
    if at > now then wait = math.min(wait, redis.call('PTTL', KEYS[1]) * 1000) end
    return { now, 0, limit + 1, wait }`,
  parse: (reply) => {
    if (!Array.isArray(reply) || reply.length !== 4 || !reply.every(Number.isInteger)) {
      throw new TypeError('throttler:increment answered something else than four integers.');
    }
    const [atUs = 0, allowed, hits = 0, waitUs = 0] = reply.map(Number);
    return { atUs, allowed: allowed === 1, hits, waitMs: waitUs / 1_000 };
  },
});

/** Runs the script: one EVALSHA. */
export function runThrottler(
  connection: RedisConnection,
  call: RedisCall,
  { hits, block }: { readonly hits: string; readonly block: string },
  { ttlMs, limit, blockMs }: ThrottlerRule,
): Promise<ThrottlerVerdict & { readonly atUs: number }> {
  return connection.scripts.run(call, throttlerScript, [hits, block], [ttlMs, limit, blockMs]);
}
