/** Decides whether the demo has shown what it promises. */
import { waitsOf } from './summary.mjs';
import { sumOf } from './tally.mjs';

/**
 * @param {import('./tally.mjs').Tally} tally
 * @param {{ cache: Record<string, number> }} stats
 * @returns {string[]} what did not happen, or should not have; empty when all is well
 */
export function findMissing(tally, stats) {
  const { searches, seats, bookings, outage } = tally;
  const missing = [];
  const expect = (holds, otherwise) => {
    if (!holds) missing.push(otherwise);
  };
  expect(stats.cache.hits > 0, 'the cache answered nothing');
  expect(stats.cache.loads > 0, 'nothing was loaded into the cache');
  expect(waitsOf(stats) > 0, 'nobody waited for a load of somebody else');
  expect(searches.allowed > 0, 'no search was answered');
  expect(searches.denied > 0, 'no search was denied');
  expect(seats.length > 0, 'no seat was asked for');
  for (const { flightId, seat, sold } of seats) {
    expect(sold === 1, `seat ${seat} of flight ${flightId} was sold ${sold} times`);
  }
  expect(sumOf(seats, 'locked') > 0, 'nobody was refused because somebody else was at the seat');
  expect(outage.reads > 0, 'nothing was read while Redis was down');
  expect(outage.refusedBookings > 0, 'no booking was refused while Redis was down');
  expect(outage.recoveredAfterMs !== undefined, 'no booking was possible after Redis had come back');
  expect(bookings.made > 0, 'no booking was made');
  expect(
    bookings.ticketed === bookings.made,
    `${bookings.made - bookings.ticketed} of ${bookings.made} bookings have no ticket`,
  );
  for (const [answer, times] of tally.unexpected) missing.push(`unexpected, ${times} times: ${answer}`);
  return missing;
}
