import { defineScript } from '@redstart/redis-core';

/**
 * What is pending under a key: the id of the entry in the stream, and after a line feed the value. Without a line feed: what has been written, and up to which entry.
 * Anything else is foreign, and counts as nothing.
 */
const comparison = `
    local function get(key)
      local held = redis.call('GET', key)
      return held and string.find(held, '^%d+%-%d+') and held
    end
    local function parts(held)
      local ms, n = string.match(held, '^(%d+)-(%d+)')
      return tonumber(ms), tonumber(n)
    end
    local function after(one, other)
      local oneMs, oneN = parts(one)
      local otherMs, otherN = parts(other)
      return oneMs > otherMs or (oneMs == otherMs and oneN > otherN)
    end`;

/**
 * Lets a value be read that is to be written behind, unless a newer one is pending or has been written. What is cached is deleted, and the loads under way are not stored: they may have
 * read the store.
 *
 * KEYS  value, lease, pending
 * ARGV  id of its entry in the stream, encoded value, for how many ms, id of a lost entry that is not newer or ''
 * Returns  nil done · the id of the newer one, or its own where that has been put or written (nothing was changed)
 */
export const putPendingScript = defineScript<string | undefined>({
  name: 'cache:put-pending',
  keys: 3,
  lua: `${comparison}
    local held = get(KEYS[3])
    local newest = held and string.match(held, '^%d+%-%d+')
    if newest and newest ~= ARGV[4] and not after(ARGV[1], held) then return newest end
    redis.call('SET', KEYS[3], ARGV[1] .. '\\n' .. ARGV[2], 'PX', ARGV[3])
    redis.call('UNLINK', KEYS[1], KEYS[2])
    return false`,
  parse: (reply) => (typeof reply === 'string' ? reply : undefined),
});

/** `ours`: it was pending · `newer`: a newer one is · `never`: it was not known here, so what is cached may be older */
export type Settlement = 'ours' | 'newer' | 'never';

/**
 * The store has a value: nothing is pending any more, unless a newer one is.
 *
 * KEYS  pending
 * ARGV  id of its entry in the stream, for how many ms that is remembered, 1 when it was read here
 * Returns  1 it was pending · 2 a newer one is, or has been written, or what was read here was of a lost stream and has been replaced (nothing was changed) · 0 it was not known here
 */
export const settlePendingScript = defineScript<Settlement>({
  name: 'cache:settle-pending',
  keys: 1,
  flags: ['allow-oom'],
  lua: `${comparison}
    local held = get(KEYS[1])
    if held and after(held, ARGV[1]) then return 2 end
    if held and ARGV[3] == '1' and after(ARGV[1], held) then return 2 end
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
    if held and not after(ARGV[1], held) then return 1 end
    return 0`,
  parse: (reply) => (reply === 1 ? 'ours' : reply === 2 ? 'newer' : 'never'),
});

/**
 * A value is never written: what is pending, and what is cached of it, is deleted.
 *
 * KEYS  value, lease, pending
 * ARGV  id of its entry in the stream
 * Returns  1 deleted · 0 something else is pending (nothing was changed)
 */
export const dropPendingScript = defineScript({
  name: 'cache:drop-pending',
  keys: 3,
  flags: ['allow-oom'],
  lua: `
    local held = redis.call('GET', KEYS[3])
    if not held or string.sub(held, 1, #ARGV[1] + 1) ~= ARGV[1] .. '\\n' then return 0 end
    redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3])
    return 1`,
  parse: (reply) => reply === 1,
});
