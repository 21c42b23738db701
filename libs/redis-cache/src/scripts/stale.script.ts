import { defineScript } from '@redstart/redis-core';
import { currentFormat } from '../entry/envelope.js';
import { tellLua } from './wake.js';
import { writeMark } from './write-lease.script.js';

/**
 * Makes an entry stale from now on, and ends the loads under way: what they have read may be older than this.
 *
 * KEYS  value, lease
 * ARGV  the command and the channel that tell who waits
 * Returns  1 it is stale · 0 there is none of this format
 */
export const markStaleScript = defineScript({
  name: 'cache:mark-stale',
  keys: 2,
  flags: ['allow-oom'],
  lua: `${tellLua(1)}
    local header = redis.call('GETRANGE', KEYS[1], 0, 29)
    local held = redis.call('GET', KEYS[2])
    if held then
      redis.call('DEL', KEYS[2])
      if string.sub(held, 1, 1) == '+' then tell('gone') end
    end
    if #header < 30 or string.byte(header, 1) ~= ${currentFormat} then return 0 end
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    if struct.unpack('>I6', string.sub(header, 11, 16)) > now then
      redis.call('SETRANGE', KEYS[1], 10, struct.pack('>I6', now))
    end
    redis.call('SETRANGE', KEYS[1], 3, string.char(1))
    return 1`,
  parse: (reply) => reply === 1,
});

/**
 * Gives a fresh entry a new lifetime, from now. What it may be served for when it is stale comes on top, as before. A sliding ttl moves on, never beyond its end.
 *
 * While its value is being written to the store, an entry keeps the lifetime that `writeLeaseScript` has left it: should the writer die, nobody else knows that it may be outdated.
 *
 * KEYS  value, lease
 * ARGV  ttlMs, or '' for the entry's own sliding ttl
 * Returns  1 done, or left to the write · 0 there is no fresh entry of this format (nothing was changed)
 */
export const touchScript = defineScript({
  name: 'cache:touch',
  keys: 2,
  lua: `
    local header = redis.call('GETRANGE', KEYS[1], 0, 29)
    if #header < 30 or string.byte(header, 1) ~= ${currentFormat} then return 0 end
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    local fresh, ends = struct.unpack('>I6I6', string.sub(header, 11, 22))
    local sliding = struct.unpack('>I4', string.sub(header, 27, 30))
    if fresh <= now or string.byte(header, 4) ~= 0 then return 0 end
    local held = redis.call('GET', KEYS[2])
    if held and string.sub(held, 2, ${writeMark.length + 1}) == '${writeMark}' then return 1 end
    if sliding > 0 then
      local ttl = math.min(tonumber(ARGV[1]) or sliding, ends - now)
      return redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ttl))
    end
    if ARGV[1] == '' then return 0 end
    local stale = ends - fresh
    redis.call('SETRANGE', KEYS[1], 10, struct.pack('>I6I6', now + ARGV[1], now + ARGV[1] + stale))
    return redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ARGV[1] + stale))`,
  parse: (reply) => reply === 1,
});
