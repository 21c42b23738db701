import { defineScript } from '@redstart/redis-core';

/** What the token of a write begins with, and that of no load. */
export const writeMark = 'write.';

/**
 * Opens the lease of a write, whoever has one: what loads and other writes have under way is not stored any more. Whoever waits for it waits for this one.
 *
 * What is there may be outdated by the write. Should the writer die before it can say so, it is gone when the lease is.
 *
 * KEYS  value, lease
 * ARGV  token, leaseMs
 * Returns  microseconds of the server's clock
 */
export const writeLeaseScript = defineScript<number>({
  name: 'cache:write-lease',
  keys: 2,
  lua: `
    local held = redis.call('GET', KEYS[2])
    local sign = held and string.sub(held, 1, 1) == '+' and '+' or '-'
    redis.call('SET', KEYS[2], sign .. ARGV[1], 'PX', ARGV[2])
    if redis.call('PTTL', KEYS[1]) > tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
    local time = redis.call('TIME')
    return string.format('%.0f', time[1] * 1000000 + time[2])`,
  parse: Number,
});
