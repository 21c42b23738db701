import { defineScript } from '@redstart/redis-core';

/** What is known of a message: nobody handles it (and now the asker does), somebody else does for `remainingMs` at least, or it has been handled. */
export type InboxState =
  { readonly kind: 'begun' | 'done' } | { readonly kind: 'processing'; readonly remainingMs: number };

/**
 * Notes that a message is being handled, unless it has been, or somebody else is at it. The value of the key is `p:<token>` while it is being handled, and `d:<token>` afterwards.
 *
 * KEYS  inbox
 * ARGV  token, leaseMs
 * Returns  0 begun, also by this token before · -1 done · ms for which somebody else's lease goes on
 */
export const beginInboxScript = defineScript<InboxState>({
  name: 'streams:inbox-begin',
  keys: 1,
  flags: ['allow-oom'],
  lua: `
    local value = redis.call('GET', KEYS[1])
    if value and string.sub(value, 1, 2) == 'd:' then return -1 end
    if value and value ~= 'p:' .. ARGV[1] then return math.max(redis.call('PTTL', KEYS[1]), 1) end
    redis.call('SET', KEYS[1], 'p:' .. ARGV[1], 'PX', ARGV[2])
    return 0
  `,
  parse: (reply) => {
    const ms = Number(reply);
    if (ms === 0) return { kind: 'begun' };
    return ms < 0 ? { kind: 'done' } : { kind: 'processing', remainingMs: ms };
  },
});

/**
 * Notes that a message has been handled, and acknowledges its entry, in one step.
 *
 * KEYS  stream, inbox
 * ARGV  group, id, token, ttlMs, 1 when the entry itself goes (it is one of the retry stream)
 * Returns  1 noted · 0 somebody else has begun meanwhile, whose note was left as it is (the entry is acknowledged all the same)
 */
export const endInboxScript = defineScript<boolean>({
  name: 'streams:inbox-end',
  keys: 2,
  flags: ['allow-oom'],
  lua: `
    redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
    if ARGV[5] == '1' then redis.call('XDEL', KEYS[1], ARGV[2]) end
    local value = redis.call('GET', KEYS[2])
    if value and value ~= 'p:' .. ARGV[3] and value ~= 'd:' .. ARGV[3] then return 0 end
    redis.call('SET', KEYS[2], 'd:' .. ARGV[3], 'PX', ARGV[4])
    return 1
  `,
  parse: (reply) => reply === 1,
});

/**
 * Forgets that a message is being handled, so that another attempt can begin.
 *
 * KEYS  inbox
 * ARGV  token
 * Returns  1 forgotten · 0 it was not this token's any more
 */
export const freeInboxScript = defineScript<boolean>({
  name: 'streams:inbox-free',
  keys: 1,
  flags: ['allow-oom'],
  lua: `
    if redis.call('GET', KEYS[1]) ~= 'p:' .. ARGV[1] then return 0 end
    redis.call('DEL', KEYS[1])
    return 1
  `,
  parse: (reply) => reply === 1,
});

/**
 * Renews the leases of messages that are being handled.
 *
 * KEYS  inbox, ...
 * ARGV  leaseMs, token of each key, ...
 * Returns  how many were still theirs
 */
export const renewInboxScript = defineScript<number>({
  name: 'streams:inbox-renew',
  keys: 'any',
  flags: ['allow-oom'],
  lua: `
    local renewed = 0
    for i, key in ipairs(KEYS) do
      if redis.call('GET', key) == 'p:' .. ARGV[i + 1] then
        redis.call('PEXPIRE', key, ARGV[1])
        renewed = renewed + 1
      end
    end
    return renewed
  `,
  parse: Number,
});
