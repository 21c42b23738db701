import { defineScript } from '@redstart/redis-core';
import { withDeliveries, type Delivery } from './claim.js';

/**
 * Returns the pending entries of a consumer that it does not know of: those whose delivery got lost with a connection. Counts as one more delivery of each.
 *
 * KEYS  stream
 * ARGV  group, consumer, count, id that it holds, ...
 * Returns  { entries, deliveries of each }
 */
export const resumeScript = defineScript<Delivery[]>({
  name: 'streams:resume',
  keys: 1,
  flags: ['allow-oom'],
  buffers: true,
  lua: `
    local held = {}
    for i = 4, #ARGV do held[ARGV[i]] = true end
    local count = tonumber(ARGV[3])
    local entries, deliveries = {}, {}
    for _, row in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', count + #ARGV - 3, ARGV[2])) do
      if not held[row[1]] and #entries < count then
        local entry = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, row[1])[1]
        if entry then
          entries[#entries + 1] = entry
          deliveries[#deliveries + 1] = row[4] + 1
        end
      end
    end
    return {entries, deliveries}
  `,
  parse: (reply) => {
    const [entries, deliveries] = Array.isArray(reply) ? (reply as unknown[]) : [];
    return withDeliveries(entries, deliveries);
  },
});
