import { defineScript } from '@redstart/redis-core';

/**
 * Moves an entry that its consumer still owns to the dead letters of its group. XACK comes first: exactly one copy arrives, whoever races, and the XADD after it
 * is not refused when memory is full.
 *
 * KEYS  stream, deadLetters
 * ARGV  group, consumer, id, maxLen, field, value, ... (what is known of the failure)
 * Returns  1 moved · 0 not owned any more (nothing was changed)
 * Errors  WRONGTYPE when the key of the dead letters holds something else (nothing was changed)
 */
export const deadLetterScript = defineScript<boolean>({
  name: 'streams:dead-letter',
  keys: 2,
  flags: ['allow-oom'],
  lua: `
    local kind = redis.call('TYPE', KEYS[2]).ok
    if kind ~= 'none' and kind ~= 'stream' then
      return redis.error_reply('WRONGTYPE The key of the dead letters holds a ' .. kind)
    end
    if not redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2])[1] then return 0 end
    local add = {'XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*'}
    for i = 5, #ARGV do add[#add + 1] = ARGV[i] end
    local entry = redis.call('XRANGE', KEYS[1], ARGV[3], ARGV[3])[1]
    if entry and #entry[2] <= 4000 then
      for _, part in ipairs(entry[2]) do add[#add + 1] = part end
    end
    redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
    redis.call(unpack(add))
    return 1
  `,
  parse: (reply) => reply === 1,
});
