import { defineScript } from '@redstart/redis-core';
import { tellLua } from './wake.js';

/**
 * Ends a load that stores nothing.
 *
 * KEYS  value, lease
 * ARGV  token, how it has ended, for how many ms no loader is to be run (0: the next caller may), the command and the channel that tell who waits
 * Returns  1 the lease was intact: nothing has changed or deleted the value since the load began · 0 it is gone (nothing was changed)
 */
export const releaseScript = defineScript({
  name: 'cache:release',
  keys: 2,
  flags: ['allow-oom'],
  lua: `${tellLua(4)}
    local held = redis.call('GET', KEYS[2])
    if not held or string.sub(held, 2) ~= ARGV[1] then
      tell('gone')
      return 0
    end
    if tonumber(ARGV[3]) > 0 then redis.call('SET', KEYS[2], '!', 'PX', ARGV[3]) else redis.call('DEL', KEYS[2]) end
    if string.sub(held, 1, 1) == '+' then tell(ARGV[2]) end
    return 1`,
  parse: (reply) => reply === 1,
});
