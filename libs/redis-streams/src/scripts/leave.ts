import { defineScript } from '@redstart/redis-core';

/**
 * Takes a consumer out of its group without losing anything: what it no longer works on becomes free for others at once, and its record goes when nothing is
 * pending under it. One script, since deleting a consumer deletes its pending entries.
 *
 * KEYS  stream
 * ARGV  group, consumer, minIdleMs, count, id that is still being worked on, ...
 * Returns  how many entries are pending under it still
 */
export const leaveScript = defineScript<number>({
  name: 'streams:leave',
  keys: 1,
  flags: ['allow-oom'],
  lua: `
    local working = {}
    for i = 5, #ARGV do working[ARGV[i]] = true end
    local rows = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', ARGV[4], ARGV[2])
    for _, row in ipairs(rows) do
      if not working[row[1]] then
        redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, row[1], 'IDLE', ARGV[3], 'JUSTID')
      end
    end
    if #rows == 0 then redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2]) end
    return #rows
  `,
  parse: Number,
});
