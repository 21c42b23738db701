import { defineScript } from '@redstart/redis-core';

/**
 * Adds a reply to the stream of the client that asked, which nobody but that client reads, as long as it waits: it has not abandoned the call, and has been heard of lately. The stream lives for a
 * while from its first reply on, and for as long as the client prolongs that.
 *
 * KEYS  replies, abandoned
 * ARGV  number of the reply (0 for the first one of its call), maxLen, ttlMs, field, value, ...
 * Returns  1 added · 0 nobody waits (nothing was changed)
 */
export const replyScript = defineScript<boolean>({
  name: 'streams:reply',
  keys: 2,
  lua: `
    if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
    local there = redis.call('EXISTS', KEYS[1]) == 1
    if not there and ARGV[1] ~= '0' then return 0 end
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', unpack(ARGV, 4))
    if not there then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
    return 1
  `,
  parse: (reply) => reply === 1,
});

/**
 * Tells the time to whoever is about to begin a call, unless its client has abandoned it.
 *
 * KEYS  abandoned
 * ARGV  none
 * Returns  the time in ms · nothing when nobody waits
 */
export const beginCallScript = defineScript<number | undefined>({
  name: 'streams:begin-call',
  keys: 1,
  lua: `
    if redis.call('EXISTS', KEYS[1]) == 1 then return false end
    local time = redis.call('TIME')
    return string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
  `,
  parse: (reply) => (reply === null ? undefined : Number(reply)),
});
