import { defineScript } from '@redstart/redis-core';
import { delayedMarker } from './due-time.js';

/**
 * Takes a message out of a delay queue, and forgets its message id, so that it may be published anew.
 *
 * KEYS  due, delayed, [published]
 * ARGV  id
 * Returns  1 cancelled · 0 not waiting (nothing was changed)
 */
export const cancelScript = defineScript<boolean>({
  name: 'streams:cancel',
  keys: 'any',
  flags: ['allow-oom'],
  lua: `
    if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then return 0 end
    redis.call('HDEL', KEYS[2], ARGV[1])
    if KEYS[3] and redis.call('GET', KEYS[3]) == '${delayedMarker}' then redis.call('DEL', KEYS[3]) end
    return 1
  `,
  parse: (reply) => reply === 1,
});
