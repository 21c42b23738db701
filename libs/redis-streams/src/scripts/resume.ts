import { defineScript } from '@redstart/redis-core';
import { withDeliveries, type Delivery } from './claim.js';

/** What was pending and unknown to its consumer, and is its own now. */
export interface Resumption {
  readonly entries: readonly Delivery[];
  /** How many were pending, but have been trimmed or deleted: nobody will ever handle them. They are pending no more. */
  readonly trimmed: number;
  /** There is more, beyond the count or the bytes. */
  readonly more: boolean;
  /** The streams are not its to take up any more; nothing was changed. */
  readonly denied: boolean;
}

/**
 * Returns pending entries that a consumer does not know of, the oldest first: its own, whose delivery got lost with a connection, or, for the owner of a partition, those of all.
 * Counts as one more delivery of what another consumer had, and may have died of, and of what this one has given back, which is as if nobody had renewed it for minIdle; its own have not arrived yet.
 *
 * KEYS  stream; for those of all consumers also owner, of the partition
 * ARGV  group, consumer, count, bytes (about; no further entries are taken beyond), last id (or +), the owner's name (or ''), minIdleMs, id that it knows, ...
 * Returns  { entries, deliveries of each, how many are gone, 1 when there may be more } · 0 when another one is the owner
 */
export const resumeScript = defineScript<Resumption>({
  name: 'streams:resume',
  keys: 'any',
  flags: ['allow-oom'],
  buffers: true,
  lua: `
    if KEYS[2] and redis.call('GET', KEYS[2]) ~= ARGV[6] then return 0 end
    local held = {}
    for i = 8, #ARGV do held[ARGV[i]] = true end
    local most, bytes = tonumber(ARGV[3]), tonumber(ARGV[4])
    local query = {'XPENDING', KEYS[1], ARGV[1], '-', ARGV[5], most + #ARGV - 7}
    if not KEYS[2] then query[7] = ARGV[2] end
    local entries, deliveries, gone, full = {}, {}, 0, false
    for _, row in ipairs(redis.call(unpack(query))) do
      full = #entries + gone >= most or bytes <= 0
      if full then break end
      if not held[row[1]] then
        local arriving = row[2] == ARGV[2] and row[3] < tonumber(ARGV[7])
        local count = arriving and row[4] or row[4] + 1
        local entry = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, row[1], 'RETRYCOUNT', string.format('%.0f', count))[1]
        if entry then
          entries[#entries + 1] = entry
          deliveries[#deliveries + 1] = count
          for _, part in ipairs(entry[2]) do bytes = bytes - #part end
        else
          gone = gone + 1
        end
      end
    end
    return {entries, deliveries, gone, (full or #entries + gone >= most) and 1 or 0}
  `,
  parse: (reply) => {
    const [entries, deliveries, trimmed, more] = Array.isArray(reply) ? (reply as unknown[]) : [];
    return {
      entries: withDeliveries(entries, deliveries),
      trimmed: Number(trimmed ?? 0),
      more: more === 1,
      denied: reply === 0,
    };
  },
});
