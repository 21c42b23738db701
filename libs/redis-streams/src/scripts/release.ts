import { defineScript } from '@redstart/redis-core';

/**
 * Gives entries back that their consumer has not begun: they are free for others at once, and this delivery does not count, since nothing came of it. Nor does a trial that it has noted. The counts are given whole, so a repetition changes nothing.
 *
 * KEYS  stream
 * ARGV  group, consumer, minIdleMs, for each entry { id, its count as it was before }, ...
 * Returns  how many it still owned (nothing was changed about the others)
 */
export const releaseScript = defineScript<number>({
  name: 'streams:release',
  keys: 1,
  flags: ['allow-oom'],
  lua: `
    local released = 0
    for i = 4, #ARGV, 2 do
      if redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])[1] then
        redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'IDLE', ARGV[3], 'RETRYCOUNT', ARGV[i + 1], 'JUSTID')
        released = released + 1
      end
    end
    return released
  `,
  parse: Number,
});
