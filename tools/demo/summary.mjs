/** The table that the demo ends with: what each library did. */
import { sumOf } from './tally.mjs';

/** @typedef {{ library: string, did: string, number: number | undefined, unit?: string }} Row */

/**
 * @param {import('./tally.mjs').Tally} tally what came back
 * @param {{ cache: Record<string, number>, outbox: { published: number, repeated: number }, operations: { library: string, operation: string, calls: number, failed: number }[] }} stats
 *   what the application counted, as `GET /stats` tells it
 * @returns {Row[]}
 */
export function summarize(tally, stats) {
  const { cache } = stats;
  const publish = operationOf(stats, 'streams.publish');
  const row = (library, did, number, unit) => ({ library, did, number, unit });
  return [
    row('redis-cache', 'hits: answers without the database', cache.hits),
    row('redis-cache', 'loads: one per key, shared by all who wanted it', cache.loads),
    row('redis-cache', 'waits: for a load that somebody else had begun', waitsOf(stats)),
    row('redis-cache', 'reads answered while Redis was down', tally.outage.reads),
    row('redis-cache', 'the slowest of them', tally.outage.slowestReadMs, 'ms'),
    row('redis-ratelimit', 'searches let through', tally.searches.allowed),
    row('redis-ratelimit', 'searches denied (429)', tally.searches.denied),
    row('redis-lock', 'seats that several wanted at once', tally.seats.length),
    row('redis-lock', 'sold, each of them once (201)', sumOf(tally.seats, 'sold')),
    row('redis-lock', 'refused: somebody else was at the seat (409)', sumOf(tally.seats, 'locked')),
    row('redis-lock', 'refused: sold by then (409)', sumOf(tally.seats, 'taken')),
    row('redis-streams', 'messages published', publish.calls - publish.failed),
    row('redis-streams', 'of them again, until the ticket was there', stats.outbox.repeated),
    row('redis-streams', 'retries: attempts that failed in the outage', publish.failed),
    row('redis-streams', 'tickets issued by the consumer', tally.bookings.ticketed),
    row('redis-core', 'operations on Redis', sumOf(stats.operations, 'calls')),
    row('redis-core', 'of them failed or refused at once in the outage', sumOf(stats.operations, 'failed')),
    row('redis-core', 'bookings refused in the outage (503)', tally.outage.refusedBookings),
    row('redis-core', 'booking again after the return of Redis', tally.outage.recoveredAfterMs, 'ms'),
  ];
}

/** Who finds nothing in the cache loads it, or waits for the one who does. */
export const waitsOf = ({ cache }) => cache.misses - cache.loads;

export function operationOf({ operations }, name) {
  return operations.find(({ operation }) => operation === name) ?? { calls: 0, failed: 0 };
}

/** @param {Row[]} rows */
export function formatTable(rows, { colour = false } = {}) {
  const bold = (text) => (colour ? `\u001B[1m${text}\u001B[22m` : text);
  const numbers = rows.map(({ number, unit }) => formatNumber(number, unit));
  const widths = [rows.map(({ library }) => library), rows.map(({ did }) => did), numbers].map(longest);
  return rows.map(({ library, did }, index) => {
    const isFirst = rows[index - 1]?.library !== library;
    const name = (isFirst ? library : '').padEnd(widths[0]);
    return `${isFirst ? bold(name) : name}  ${did.padEnd(widths[1])}  ${numbers[index].padStart(widths[2])}`;
  });
}

const longest = (texts) => Math.max(0, ...texts.map((text) => text.length));

function formatNumber(number, unit) {
  if (number === undefined) return 'never';
  return `${number.toLocaleString('en-US')}${unit ? ` ${unit}` : ''}`;
}
