import { defineScript } from '@redstart/redis-core';
import { delayedMarker, readDueTime } from './due-time.js';

/**
 * Gives a message of a delay queue another due time.
 *
 * KEYS  due, delayed, [published]
 * ARGV  id, in | at, ms, windowMs
 * Returns  how many ms it has to wait now · -1 not waiting any more (nothing was changed)
 */
export const rescheduleScript = defineScript<number | undefined>({
  name: 'streams:reschedule',
  keys: 'any',
  flags: ['allow-oom'],
  lua: `
    ${readDueTime('ARGV[2]', 'ARGV[3]')}
    if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return '-1' end
    local wait = math.max(0, due - now)
    redis.call('ZADD', KEYS[1], string.format('%.0f', due), ARGV[1])
    if KEYS[3] and redis.call('GET', KEYS[3]) == '${delayedMarker}' then
      redis.call('PEXPIRE', KEYS[3], string.format('%.0f', wait + ARGV[4]))
    end
    return string.format('%.0f', wait)
  `,
  parse: (reply) => (Number(reply) < 0 ? undefined : Number(reply)),
});
