import { defineScript } from '@redstart/redis-core';
import { standingInLua } from './lua-standing.js';

/**
 * Gives entries back that their consumer has not begun: they are free for others at once, and this delivery does not count, since nothing came of it. Nor does a trial that it has noted. The counts are given whole, so a repetition changes nothing.
 *
 * KEYS  stream
 * ARGV  group, consumer, minIdleMs, for each entry { id, its count as it was before }, ...
 * Returns  the ids that are gone, and pending no more (nothing was changed about those that it owns no more)
 */
export const releaseScript = defineScript<readonly string[]>({
  name: 'streams:release',
  keys: 1,
  flags: ['allow-oom'],
  lua: `
    ${standingInLua}

    local gone = {}
    for i = 4, #ARGV, 2 do
      local found = standing(KEYS[1], ARGV[1], ARGV[2], ARGV[i])
      if found == 'ours' then
        local claimed = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'IDLE', ARGV[3], 'RETRYCOUNT', ARGV[i + 1], 'JUSTID')
        -- What is not in the stream any more is not claimed, and pending no more.
        if not claimed[1] then found = 'gone' end
      end
      if found == 'gone' then gone[#gone + 1] = ARGV[i] end
    end
    return gone
  `,
  parse: (reply) => (Array.isArray(reply) ? reply.map(String) : []),
});
