import { defineScript } from '@redstart/redis-core';

/**
 * Removes the records of consumers that have not been heard of for long and have nothing pending. One script, since removing a consumer removes its pending entries with it.
 *
 * KEYS  stream
 * ARGV  group, consumer that asks, idleMs
 * Returns  how many were removed
 */
export const forgetConsumersScript = defineScript<number>({
  name: 'streams:forget-consumers',
  keys: 1,
  flags: ['allow-oom'],
  lua: `
    local removed = 0
    for _, row in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
      local consumer = {}
      for i = 1, #row, 2 do consumer[row[i]] = row[i + 1] end
      if consumer.name ~= ARGV[2] and consumer.pending == 0 and consumer.idle >= tonumber(ARGV[3]) then
        redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer.name)
        removed = removed + 1
      end
    end
    return removed
  `,
  parse: Number,
});
