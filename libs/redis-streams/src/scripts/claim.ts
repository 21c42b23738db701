import { defineScript } from '@redstart/redis-core';
import { parseEntries, text, type RawEntry } from '../message/envelope.js';

/** An entry that has been delivered, and how often, this time included. */
export interface Delivery extends RawEntry {
  readonly deliveries: number;
}

export interface ClaimedEntries {
  /** Where to go on; `0-0` when the whole list has been seen. */
  readonly cursor: string;
  readonly entries: readonly Delivery[];
  /** Ids that were pending, but whose entries have been trimmed or deleted: nobody will ever handle them. They are pending no more. */
  readonly trimmed: readonly string[];
}

/**
 * Takes over entries that nobody has renewed for a while, and tells how often each has been delivered.
 *
 * KEYS  stream
 * ARGV  group, consumer, minIdleMs, cursor, count
 * Returns  { next cursor, entries, deliveries of each, ids that are gone }
 */
export const claimScript = defineScript<ClaimedEntries>({
  name: 'streams:claim',
  keys: 1,
  flags: ['allow-oom'],
  buffers: true,
  lua: `
    local reply = redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], 'COUNT', ARGV[5])
    local deliveries = {}
    for i, entry in ipairs(reply[2]) do
      local row = redis.call('XPENDING', KEYS[1], ARGV[1], entry[1], entry[1], 1)
      deliveries[i] = row[1] and row[1][4] or 1
    end
    return {reply[1], reply[2], deliveries, reply[3]}
  `,
  parse: (reply) => {
    const [cursor, entries, deliveries, trimmed] = Array.isArray(reply) ? (reply as unknown[]) : [];
    return {
      cursor: text(cursor),
      entries: withDeliveries(entries, deliveries),
      trimmed: Array.isArray(trimmed) ? trimmed.map(text) : [],
    };
  },
});

/** Pairs entries with their counts; both come from one script, in one order. */
export function withDeliveries(entries: unknown, deliveries: unknown): Delivery[] {
  const counts: unknown[] = Array.isArray(deliveries) ? deliveries : [];
  return parseEntries(entries).map((entry, index) => ({ ...entry, deliveries: Number(counts[index] ?? 1) }));
}
