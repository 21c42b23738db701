import { defineScript } from '@redstart/redis-core';

/**
 * Renews the entries that a consumer still owns. A plain XCLAIM would steal back what another one has taken over meanwhile, so each is checked first.
 *
 * KEYS  stream
 * ARGV  group, consumer, id, ...
 * Returns  the ids that it owns no more (nothing was changed about them)
 */
export const renewScript = defineScript<string[]>({
  name: 'streams:renew',
  keys: 1,
  flags: ['allow-oom'],
  lua: `
    local lost = {}
    for i = 3, #ARGV do
      if redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])[1] then
        redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'IDLE', 0, 'JUSTID')
      else
        lost[#lost + 1] = ARGV[i]
      end
    end
    return lost
  `,
  parse: (reply) => (Array.isArray(reply) ? reply.map(String) : []),
});
