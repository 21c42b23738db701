import { defineScript } from '@redstart/redis-core';
import { notOurs, standingInLua, type NotOurs } from './lua-standing.js';

/**
 * Moves an entry that its consumer still owns to the dead letters of its group: exactly one copy arrives, whoever races. An account that may not XADD, or not XACK, has changed nothing: the former comes before the real XACK,
 * and an XACK of nothing before both.
 *
 * KEYS  stream, deadLetters
 * ARGV  group, consumer, id, maxLen, 1 when the entry itself goes (it is one of the retry stream), 1 when it is known to be gone and ours, field, value, ... (what is known of the failure, then the fields of the
 *       original entry)
 * Returns  { id of the dead letter, how many older ones had to go for it } · 0 not owned any more · -1 gone (nothing was changed)
 * Errors  WRONGTYPE when the key of the dead letters holds something else, ERR for fields without values (nothing was changed)
 */
export const deadLetterScript = defineScript<{ readonly id: string; readonly dropped: number } | NotOurs>({
  name: 'streams:dead-letter',
  keys: 2,
  flags: ['allow-oom'],
  lua: `
    ${standingInLua}

    local kind = redis.call('TYPE', KEYS[2]).ok
    if kind ~= 'none' and kind ~= 'stream' then
      return redis.error_reply('WRONGTYPE The key of the dead letters holds a ' .. kind)
    end
    if #ARGV < 8 or #ARGV % 2 == 1 then return redis.error_reply('ERR A dead letter needs pairs of fields and values') end
    if ARGV[6] == '0' then
      local found = standing(KEYS[1], ARGV[1], ARGV[2], ARGV[3])
      if found ~= 'ours' then return found == 'gone' and -1 or 0 end
    end
    local add = {'XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*'}
    for i = 7, #ARGV do add[#add + 1] = ARGV[i] end
    local before = redis.call('XLEN', KEYS[2])
    redis.call('XACK', KEYS[1], ARGV[1], '0-0')
    local letter = redis.call(unpack(add))
    redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
    if ARGV[5] == '1' then redis.call('XDEL', KEYS[1], ARGV[3]) end
    return {letter, before + 1 - redis.call('XLEN', KEYS[2])}
  `,
  parse: (reply) => {
    const [id, dropped] = Array.isArray(reply) ? (reply as unknown[]) : [];
    return notOurs(reply) ?? { id: String(id), dropped: Number(dropped) };
  },
});
