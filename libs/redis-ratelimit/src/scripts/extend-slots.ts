import { defineScript } from '@redstart/redis-core';

/**
 * Gives slots that are still held their full lease from now.
 *
 * KEYS  one per slot
 * ARGV  per slot: its id, its lease (us)
 * Returns  per slot: 1 extended · 0 its lease is over (nothing was changed)
 */
export const extendSlotsScript = defineScript<readonly boolean[]>({
  name: 'ratelimit:extend-slots',
  keys: 'any',
  flags: ['allow-oom'],
  lua: `
    local time = redis.call('TIME')
    local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
    local extended = {}
    for i, key in ipairs(KEYS) do
      local id, lease = ARGV[2 * i - 1], tonumber(ARGV[2 * i])
      local ends = redis.pcall('ZSCORE', key, id)
      extended[i] = 0
      if type(ends) == 'string' and tonumber(ends) > now then
        redis.call('ZADD', key, 'XX', string.format('%.0f', now + lease), id)
        -- Other slots of the key may live longer.
        redis.call('PEXPIRE', key, string.format('%.0f', math.ceil(lease / 1000)), 'GT')
        extended[i] = 1
      end
    end
    return extended`,
  parse: (reply) => {
    if (!Array.isArray(reply)) throw new TypeError('ratelimit:extend-slots answered no list.');
    return reply.map((extended) => extended === 1);
  },
});
