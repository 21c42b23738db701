import { defineScript } from '@redstart/redis-core';
import { trialUnit } from './trial.js';

export interface Leave {
  /** How many entries are pending under its name still. */
  readonly pending: number;
  /** How many were pending, but have been trimmed or deleted: nobody will ever handle them. They are pending no more. */
  readonly trimmed: number;
}

/**
 * Takes a consumer out of its group without losing anything: what it no longer works on becomes free for others at once (a delivery that came to
 * nothing does not count; trials of it that killed its consumers do), and its record goes when nothing is pending under it. One script, since deleting a consumer deletes its pending entries.
 *
 * KEYS  stream
 * ARGV  group, consumer, minIdleMs, count, id that is still being worked on, ...
 * Returns  { how many of these are pending under it still, how many were gone }
 */
export const leaveScript = defineScript<Leave>({
  name: 'streams:leave',
  keys: 1,
  flags: ['allow-oom'],
  lua: `
    local working = {}
    for i = 5, #ARGV do working[ARGV[i]] = true end
    local rows = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', ARGV[4], ARGV[2])
    local gone = 0
    for _, row in ipairs(rows) do
      -- What it has given back already is free.
      if not working[row[1]] and row[3] < tonumber(ARGV[3]) then
        local count = string.format('%.0f', row[4] % ${trialUnit} > 0 and row[4] - 1 or row[4])
        local claimed = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, row[1], 'IDLE', ARGV[3], 'RETRYCOUNT', count, 'JUSTID')
        -- What is not in the stream any more is not claimed, and pending no more.
        if not claimed[1] then gone = gone + 1 end
      end
    end
    if #rows == 0 then redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2]) end
    return {#rows - gone, gone}
  `,
  parse: (reply) => {
    const [pending, trimmed] = Array.isArray(reply) ? (reply as unknown[]) : [];
    return { pending: Number(pending ?? 0), trimmed: Number(trimmed ?? 0) };
  },
});
