import { defineScript } from '@redstart/redis-core';

/** `denied`: another one owns it by now · `sole`: nothing is pending under another name · `shared`: something is. */
export type Standing = 'denied' | 'sole' | 'shared';

const standings: readonly Standing[] = ['denied', 'sole', 'shared'];

/**
 * Tells of each stream of a partition whether its reader owns it, and whether something is pending there that another consumer has been given: by a read that was late, for example.
 *
 * KEYS  owner, stream, ...
 * ARGV  group, consumer, owner of the first stream, ...
 * Returns  for each stream 0 not the owner's · 1 nothing is pending for others · 2 something is (nothing was changed)
 */
export const soleReaderScript = defineScript<Standing[]>({
  name: 'streams:sole-reader',
  keys: 'any',
  lua: `
    local standings = {}
    for s = 1, #KEYS / 2 do
      local standing = 0
      if redis.call('GET', KEYS[2 * s - 1]) == ARGV[2 + s] then
        standing = 1
        for _, row in ipairs(redis.call('XPENDING', KEYS[2 * s], ARGV[1])[4] or {}) do
          if row[1] ~= ARGV[2] then standing = 2 end
        end
      end
      standings[s] = standing
    end
    return standings
  `,
  parse: (reply) => (Array.isArray(reply) ? reply.map((code) => standings[Number(code)] ?? 'denied') : []),
});
