/** What the demo has sent and what came back, as plain numbers. */

/**
 * @typedef {{ flightId: number, seat: string, sold: number, locked: number, taken: number }} Seat
 *   `locked`: refused because somebody else was at it just then; `taken`: refused because it was sold
 * @typedef {ReturnType<typeof newTally>} Tally
 */
export function newTally() {
  return {
    searches: { allowed: 0, denied: 0 },
    reads: 0,
    rush: 0,
    /** @type {Seat[]} */
    seats: [],
    bookings: { made: 0, ticketed: 0 },
    outage: { reads: 0, slowestReadMs: 0, refusedBookings: 0, recoveredAfterMs: undefined },
    /** Answers that nobody asked for, by request and status. @type {Map<string, number>} */
    unexpected: new Map(),
  };
}

/** Counts an answer that the demo did not expect. */
export function countUnexpected(tally, { request, status, code }) {
  const name = `${request}: ${status === 0 ? 'no answer' : status}${code ? ` ${code}` : ''}`;
  tally.unexpected.set(name, (tally.unexpected.get(name) ?? 0) + 1);
}

export const sumOf = (items, field) => items.reduce((total, item) => total + item[field], 0);
