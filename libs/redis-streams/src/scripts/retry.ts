import { defineScript } from '@redstart/redis-core';
import { notOurs, standingInLua, type NotOurs } from './lua-standing.js';

/**
 * Takes an entry that its consumer still owns out of the pending list, and schedules it for another attempt in the delay queue of the group's retry stream: both or
 * neither, also for an account that may not carry out one of the commands: the real XACK comes last, and an XACK of nothing first.
 *
 * KEYS  stream, due and delayed of the retry stream
 * ARGV  group, consumer, id, delayMs, schedule id, 1 when the entry itself goes (it is one of the retry stream), 1 when it is known to be gone and ours, field, value, ... (of the entry that is to come)
 * Returns  1 scheduled · 0 not owned any more · -1 gone (nothing was changed)
 * Errors  WRONGTYPE when a key of the delay queue holds something else, ERR for fields that could not be moved on (nothing was changed)
 */
export const retryScript = defineScript<'scheduled' | NotOurs>({
  name: 'streams:retry',
  keys: 3,
  flags: ['allow-oom'],
  lua: `
    ${standingInLua}

    for key, expected in pairs({[KEYS[2]] = 'zset', [KEYS[3]] = 'hash'}) do
      local kind = redis.call('TYPE', key).ok
      if kind ~= 'none' and kind ~= expected then
        return redis.error_reply('WRONGTYPE A key of the delay queue holds a ' .. kind)
      end
    end
    if #ARGV % 2 == 0 or #ARGV > 7000 then return redis.error_reply('ERR An entry needs pairs of fields and values, and not too many') end
    if ARGV[7] == '0' then
      local found = standing(KEYS[1], ARGV[1], ARGV[2], ARGV[3])
      if found ~= 'ours' then return found == 'gone' and -1 or 0 end
    end
    local time = redis.call('TIME')
    local dueAt = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) + tonumber(ARGV[4])
    local fields = {}
    for i = 8, #ARGV do fields[#fields + 1] = ARGV[i] end
    redis.call('XACK', KEYS[1], ARGV[1], '0-0')
    redis.call('HSET', KEYS[3], ARGV[5], cmsgpack.pack(fields))
    redis.call('ZADD', KEYS[2], string.format('%.0f', dueAt), ARGV[5])
    redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
    if ARGV[6] == '1' then redis.call('XDEL', KEYS[1], ARGV[3]) end
    return 1
  `,
  parse: (reply) => notOurs(reply) ?? 'scheduled',
});
