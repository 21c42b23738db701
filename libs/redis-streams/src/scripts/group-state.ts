import { defineScript } from '@redstart/redis-core';
import { text } from '../message/envelope.js';

/** What Redis knows of one group in one stream, all of one moment. */
export interface GroupSnapshot {
  /** The server's clock. */
  readonly nowMs: number;
  readonly lastDeliveredId: string;
  /** The oldest entry that the group has not been given yet; empty when there is none. */
  readonly nextId: string;
  /** How many consumers the group has a record of. */
  readonly consumers: number;
  readonly pending: number;
  /** The id under which the oldest pending entry was published; empty when nothing is pending. */
  readonly oldestPendingId: string;
  readonly pendingOf: ReadonlyMap<string, number>;
  /** How many failed or replayed entries wait for their next attempt, with no consumer. */
  readonly retrying: number;
  readonly deadLetters: number;
  readonly paused: boolean;
}

/**
 * Looks at a group: at its stream and its retry stream, at what waits for a retry, at its dead letters and whether it is paused.
 *
 * KEYS  stream, retry, retryDue, deadLetters, paused
 * ARGV  group
 * Returns  { now, last delivered id, next id or '', consumers, pending, id of the oldest pending or '', { consumer, count, ... }, retrying, dead letters, paused 0 or 1 } ·
 *   nil when the stream has no such group
 */
export const groupStateScript = defineScript<GroupSnapshot | undefined>({
  name: 'streams:group-state',
  keys: 5,
  flags: ['no-writes'],
  lua: `
    local function group(key)
      if redis.call('EXISTS', key) == 0 then return nil end
      for _, row in ipairs(redis.call('XINFO', 'GROUPS', key)) do
        local fields = {}
        for i = 1, #row, 2 do fields[row[i]] = row[i + 1] end
        if fields.name == ARGV[1] then return fields end
      end
    end
    local counts, names = {}, {}
    local function pending(key)
      local summary = redis.call('XPENDING', key, ARGV[1])
      for _, row in ipairs(summary[4] or {}) do
        if not counts[row[1]] then names[#names + 1] = row[1] end
        counts[row[1]] = (counts[row[1]] or 0) + tonumber(row[2])
      end
      return summary[1], summary[2] or ''
    end
    -- Ids are compared by their milliseconds: for an age that is enough.
    local function older(a, b)
      if a == '' then return b end
      if b == '' then return a end
      return tonumber(string.match(a, '^%d+')) <= tonumber(string.match(b, '^%d+')) and a or b
    end

    local main = group(KEYS[1])
    if not main then return false end
    local upcoming = redis.call('XRANGE', KEYS[1], '(' .. main['last-delivered-id'], '+', 'COUNT', 1)[1]
    local total, oldest = pending(KEYS[1])
    local retrying = redis.call('ZCARD', KEYS[3])
    if group(KEYS[2]) then
      local again, id = pending(KEYS[2])
      total = total + again
      -- What is done with is deleted there, so the rest has not been delivered yet.
      retrying = retrying + math.max(0, redis.call('XLEN', KEYS[2]) - again)
      if again > 0 then
        local entry = redis.call('XRANGE', KEYS[2], id, id)[1]
        if entry and entry[2][1] == 'o' then id = entry[2][2] end
        oldest = older(oldest, id)
      end
    end
    local consumers = {}
    for _, name in ipairs(names) do
      consumers[#consumers + 1] = name
      consumers[#consumers + 1] = counts[name]
    end
    local time = redis.call('TIME')
    return {
      string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)),
      main['last-delivered-id'], upcoming and upcoming[1] or '', main.consumers, total, oldest, consumers,
      retrying, redis.call('XLEN', KEYS[4]), redis.call('EXISTS', KEYS[5]),
    }
  `,
  parse: (reply) => {
    if (!Array.isArray(reply)) return undefined;
    const [now, last, next, consumers, pending, oldest, rows, retrying, deadLetters, paused] = reply as unknown[];
    return {
      nowMs: Number(now),
      lastDeliveredId: text(last),
      nextId: text(next),
      consumers: Number(consumers),
      pending: Number(pending),
      oldestPendingId: text(oldest),
      pendingOf: pairs(rows),
      retrying: Number(retrying),
      deadLetters: Number(deadLetters),
      paused: paused === 1,
    };
  },
});

function pairs(reply: unknown): ReadonlyMap<string, number> {
  const flat: unknown[] = Array.isArray(reply) ? reply : [];
  const counts = new Map<string, number>();
  for (let at = 0; at + 1 < flat.length; at += 2) counts.set(text(flat[at]), Number(flat[at + 1]));
  return counts;
}
