import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatTable, summarize } from '../demo/summary.mjs';
import { countUnexpected, newTally } from '../demo/tally.mjs';
import { findMissing } from '../demo/verdict.mjs';

const seat = (changes) => ({ flightId: 1, seat: '1A', sold: 1, locked: 3, taken: 1, ...changes });

function goodRun(changes = {}) {
  return {
    ...newTally(),
    searches: { allowed: 60, denied: 1234 },
    reads: 20,
    seats: [seat(), seat({ seat: '1B', locked: 4, taken: 0 })],
    bookings: { made: 3, ticketed: 3 },
    outage: { reads: 8, slowestReadMs: 251, refusedBookings: 4, recoveredAfterMs: 1124 },
    ...changes,
  };
}
const goodStats = {
  cache: { hits: 163, misses: 181, loads: 64 },
  outbox: { published: 3, repeated: 1 },
  operations: [
    { library: 'redis-lock', operation: 'lock.acquire', calls: 10, failed: 2 },
    { library: 'redis-streams', operation: 'streams.publish', calls: 9, failed: 2 },
  ],
};

describe('the verdict of the demo', () => {
  it('is that nothing is missing when everything has happened', () => {
    assert.deepEqual(findMissing(goodRun(), goodStats), []);
  });

  for (const [name, tally, stats, expected] of [
    ['no hit', {}, { cache: { hits: 0, misses: 2, loads: 1 } }, 'the cache answered nothing'],
    ['no wait', {}, { cache: { hits: 1, misses: 2, loads: 2 } }, 'nobody waited for a load of somebody else'],
    ['no load', {}, { cache: { hits: 1, misses: 1, loads: 0 } }, 'nothing was loaded into the cache'],
    ['no search', { searches: { allowed: 0, denied: 1 } }, goodStats, 'no search was answered'],
    ['no denial', { searches: { allowed: 60, denied: 0 } }, goodStats, 'no search was denied'],
    ['a seat sold twice', { seats: [seat({ sold: 2 })] }, goodStats, 'seat 1A of flight 1 was sold 2 times'],
    [
      'a seat unsold',
      { seats: [seat(), seat({ seat: '2F', sold: 0 })] },
      goodStats,
      'seat 2F of flight 1 was sold 0 times',
    ],
    [
      'no rival',
      { seats: [seat({ locked: 0, taken: 4 })] },
      goodStats,
      'nobody was refused because somebody else was at the seat',
    ],
    ['a ticket too few', { bookings: { made: 3, ticketed: 2 } }, goodStats, '1 of 3 bookings have no ticket'],
    [
      'no read in the outage',
      { outage: { reads: 0, refusedBookings: 4, recoveredAfterMs: 1 } },
      goodStats,
      'nothing was read while Redis was down',
    ],
    [
      'no refusal in the outage',
      { outage: { reads: 8, refusedBookings: 0, recoveredAfterMs: 1 } },
      goodStats,
      'no booking was refused while Redis was down',
    ],
    [
      'no recovery',
      { outage: { reads: 8, refusedBookings: 4, recoveredAfterMs: undefined } },
      goodStats,
      'no booking was possible after Redis had come back',
    ],
  ]) {
    it(`names ${name}`, () => assert.deepEqual(findMissing(goodRun(tally), stats), [expected]));
  }

  it('names everything of a run in which nothing happened', () => {
    assert.equal(findMissing(newTally(), { cache: { hits: 0, misses: 0, loads: 0 } }).length, 11);
  });

  it('names answers that nobody asked for, with their number', () => {
    const tally = goodRun();
    for (const status of [500, 500]) countUnexpected(tally, { request: 'GET /airports', status });
    countUnexpected(tally, { request: 'POST /bookings', status: 0 });
    countUnexpected(tally, { request: 'POST /bookings', status: 409, code: 'OTHER' });
    assert.deepEqual(findMissing(tally, goodStats), [
      'unexpected, 2 times: GET /airports: 500',
      'unexpected, 1 times: POST /bookings: no answer',
      'unexpected, 1 times: POST /bookings: 409 OTHER',
    ]);
  });
});

describe('the summary of the demo', () => {
  it('tells the numbers of each library, from the answers and from the application', () => {
    const rows = summarize(goodRun(), goodStats);
    const numberOf = (beginning) => rows.find(({ did }) => did.startsWith(beginning))?.number;
    assert.deepEqual(
      [...new Set(rows.map(({ library }) => library))],
      ['redis-cache', 'redis-ratelimit', 'redis-lock', 'redis-streams', 'redis-core'],
    );
    assert.equal(numberOf('hits'), 163);
    assert.equal(numberOf('the slowest'), 251);
    assert.equal(numberOf('searches denied'), 1234);
    assert.equal(numberOf('sold, each'), 2);
    assert.equal(numberOf('refused: somebody'), 7);
    assert.equal(numberOf('refused: sold'), 1);
    assert.equal(numberOf('waits'), 117);
    assert.equal(numberOf('messages published'), 7);
    assert.equal(numberOf('of them again'), 1);
    assert.equal(numberOf('retries'), 2);
    assert.equal(numberOf('tickets'), 3);
    assert.equal(numberOf('operations on Redis'), 19);
    assert.equal(numberOf('of them failed or refused'), 4);
  });

  it('is a table with aligned columns, each library named once', () => {
    const rows = [
      { library: 'redis-cache', did: 'hits', number: 1234567 },
      { library: 'redis-cache', did: 'loads of all', number: 5 },
      { library: 'redis-core', did: 'returned', number: undefined, unit: 'ms' },
      { library: 'redis-core', did: 'after', number: 20, unit: 'ms' },
    ];
    assert.deepEqual(formatTable(rows), [
      'redis-cache  hits          1,234,567',
      '             loads of all          5',
      'redis-core   returned          never',
      '             after             20 ms',
    ]);
    assert.equal(formatTable(rows, { colour: true })[0], '\u001B[1mredis-cache\u001B[22m  hits          1,234,567');
  });
});
