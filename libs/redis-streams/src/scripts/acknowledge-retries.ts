import { defineScript } from '@redstart/redis-core';

/**
 * Acknowledges entries of a retry stream, and deletes them: it has one group only, so nobody else will want them.
 *
 * KEYS  retry stream
 * ARGV  group, id, ...
 * Returns  how many were pending
 */
export const acknowledgeRetriesScript = defineScript<number>({
  name: 'streams:acknowledge-retries',
  keys: 1,
  flags: ['allow-oom'],
  lua: `
    local acknowledged = redis.call('XACK', KEYS[1], unpack(ARGV))
    redis.call('XDEL', KEYS[1], unpack(ARGV, 2))
    return acknowledged
  `,
  parse: Number,
});
