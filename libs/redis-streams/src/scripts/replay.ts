import { defineScript } from '@redstart/redis-core';

/** `gone`: somebody else has replayed or purged it · `empty`: only its story was kept, the entry itself had been trimmed when it was given up */
export type ReplayOutcome = 'replayed' | 'gone' | 'empty';

/**
 * Gives a dead letter back to its group: adds the entry to the group's retry stream, where no other group reads, and takes it out of the dead letters, in one step.
 * Its attempts begin anew.
 *
 * KEYS  deadLetters, retry
 * ARGV  group, id of the dead letter, headers (JSON)
 * Returns  1 replayed · 0 not there any more (nothing was changed) · -1 it holds no entry (nothing was changed)
 * Errors  WRONGTYPE when the key of the retry stream holds something else (nothing was changed)
 */
export const replayScript = defineScript<ReplayOutcome>({
  name: 'streams:replay',
  keys: 2,
  lua: `
    local kind = redis.call('TYPE', KEYS[2]).ok
    if kind ~= 'none' and kind ~= 'stream' then
      return redis.error_reply('WRONGTYPE The key of the retry stream holds a ' .. kind)
    end
    local letter = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])[1]
    if not letter then return 0 end
    local fields, at, seen, original = letter[2], 1, {}, ARGV[2]
    while fields[at] and string.sub(fields[at], 1, 2) == 'x-' and not seen[fields[at]] do
      seen[fields[at]] = true
      if fields[at] == 'x-id' then original = fields[at + 1] end
      at = at + 2
    end
    if fields[at] == 'o' and fields[at + 2] == 'a' then at = at + 4 end
    if not fields[at] then return -1 end
    local add, headers = {'XADD', KEYS[2], '*', 'o', original, 'a', '0'}, false
    for i = at, #fields, 2 do
      add[#add + 1] = fields[i]
      if fields[i] == 'h' and not headers then
        headers = true
        add[#add + 1] = ARGV[3]
      else
        add[#add + 1] = fields[i + 1]
      end
    end
    if not headers then
      add[#add + 1], add[#add + 2] = 'h', ARGV[3]
    end
    local created = redis.pcall('XGROUP', 'CREATE', KEYS[2], ARGV[1], '0', 'MKSTREAM')
    if created.err and string.sub(created.err, 1, 9) ~= 'BUSYGROUP' then return created end
    redis.call(unpack(add))
    redis.call('XDEL', KEYS[1], ARGV[2])
    return 1
  `,
  parse: (reply) => (reply === 1 ? 'replayed' : reply === 0 ? 'gone' : 'empty'),
});
