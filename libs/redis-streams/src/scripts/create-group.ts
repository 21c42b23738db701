import { defineScript } from '@redstart/redis-core';

/**
 * Creates a group, and its stream with it, if it is not there. A script, because XGROUP CREATE is refused in full memory even where it has nothing to do: then whoever has lost
 * its connection could never read again, and nothing would ever be freed.
 *
 * KEYS  stream
 * ARGV  group, the id after which a new group begins
 * Returns  1 created · 0 it was there
 * Errors  WRONGTYPE when the key holds something else
 */
export const createGroupScript = defineScript<boolean>({
  name: 'streams:create-group',
  keys: 1,
  flags: ['allow-oom'],
  lua: `
    local created = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], ARGV[2], 'MKSTREAM')
    if not created.err then return 1 end
    if string.sub(created.err, 1, 9) == 'BUSYGROUP' then return 0 end
    return created
  `,
  parse: (reply) => reply === 1,
});
