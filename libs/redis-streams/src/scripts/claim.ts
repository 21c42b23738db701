import { defineScript } from '@redstart/redis-core';
import { parseEntries, text, type RawEntry } from '../message/envelope.js';
import { readCount, type DeliveryCount } from './trial.js';

/** An entry that has been delivered, and how often. */
export interface Delivery extends RawEntry, DeliveryCount {}

/** Entries that were new: delivered to nobody before. */
export function firstDeliveries(entries: readonly RawEntry[]): Delivery[] {
  return entries.map(({ id, fields }) => ({ id, fields, deliveries: 1, trials: 0 }));
}

export interface ClaimedEntries {
  /** Where to go on; `0-0` when the whole list has been seen. */
  readonly cursor: string;
  readonly entries: readonly Delivery[];
  /** Ids that were pending, under whichever consumer and however recently it renewed them, but whose entries have been trimmed or deleted: nobody but who has them in hand will ever handle them. They are pending no more. */
  readonly trimmed: readonly string[];
  /** Why the stream could not be looked through; `undefined` where it could, and where there is nothing to look through. */
  readonly problem: string | undefined;
}

/**
 * Takes over entries that nobody has renewed for a while, from several streams of one group, and tells how often each has been delivered. A stream whose group
 * is gone, or that is no stream, is left out: whoever reads it finds out. Any other error of one stream is told beside the entries of the others, which are ours by then.
 *
 * Takes a few first, and more with each step: what entries weigh is known when they are taken.
 *
 * KEYS  stream, ...
 * ARGV  group, consumer, minIdleMs, bytes in all (about; no further entries are taken beyond), number of allowances, each { how many entries, bytes }, ..., for each stream { which allowance it takes from, cursor }, ...
 * Returns  for each stream { next cursor, entries, deliveries of each, ids that are gone, problem or '' }
 */
export const claimScript = defineScript<ClaimedEntries[]>({
  name: 'streams:claim',
  keys: 'any',
  flags: ['allow-oom'],
  buffers: true,
  lua: `
    local bytes, allowances = tonumber(ARGV[4]), tonumber(ARGV[5])
    local left, room = {}, {}
    for a = 1, allowances do
      left[a], room[a] = tonumber(ARGV[4 + 2 * a]), tonumber(ARGV[5 + 2 * a])
    end
    local function expected(problem)
      return string.find(problem, '^NOGROUP') or string.find(problem, '^WRONGTYPE')
    end
    local streams = {}
    for s, stream in ipairs(KEYS) do
      local a = tonumber(ARGV[4 + 2 * allowances + 2 * s])
      local found = {ARGV[5 + 2 * allowances + 2 * s], {}, {}, {}, ''}
      local asked, step = 0, 1
      while asked < left[a] and room[a] > 0 and bytes > 0 do
        step = math.min(2 * step, left[a] - asked)
        asked = asked + step
        local reply = redis.pcall('XAUTOCLAIM', stream, ARGV[1], ARGV[2], ARGV[3], found[1], 'COUNT', string.format('%.0f', step))
        if reply.err then
          found[1] = '0-0'
          if not expected(reply.err) then found[5] = reply.err end
          break
        end
        found[1] = reply[1]
        for _, entry in ipairs(reply[2]) do
          local row = redis.call('XPENDING', stream, ARGV[1], entry[1], entry[1], 1)
          found[2][#found[2] + 1] = entry
          found[3][#found[3] + 1] = row[1] and row[1][4] or 1
          for _, part in ipairs(entry[2]) do bytes, room[a] = bytes - #part, room[a] - #part end
        end
        for _, gone in ipairs(reply[3]) do found[4][#found[4] + 1] = gone end
        if found[1] == '0-0' then break end
      end
      left[a] = left[a] - #found[2]
      streams[s] = found
    end
    return streams
  `,
  parse: (reply) => (Array.isArray(reply) ? reply.map(claimed) : []),
});

function claimed(reply: unknown): ClaimedEntries {
  const [cursor, entries, deliveries, trimmed, problem] = Array.isArray(reply) ? (reply as unknown[]) : [];
  return {
    problem: text(problem) === '' ? undefined : text(problem),
    cursor: text(cursor),
    entries: withDeliveries(entries, deliveries),
    trimmed: Array.isArray(trimmed) ? trimmed.map(text) : [],
  };
}

/** Pairs entries with their counts; both come from one script, in one order. */
export function withDeliveries(entries: unknown, deliveries: unknown): Delivery[] {
  const counts: unknown[] = Array.isArray(deliveries) ? deliveries : [];
  return parseEntries(entries).map((entry, index) => ({ ...entry, ...readCount(Number(counts[index] ?? 1)) }));
}
