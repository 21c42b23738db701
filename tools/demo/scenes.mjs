/** The scenes of the demo, in order. Each sends one kind of traffic, counts what came back and ends with a line about it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { countUnexpected, sumOf } from './tally.mjs';
import { becomesTrue, keepCalling } from './traffic.mjs';

/** Searches that one address may make per minute. The demo sends more. */
export const SEARCHES_PER_MINUTE = 60;

const CITIES = [
  'chicago',
  'detroit',
  'san fran',
  'new york',
  'boston',
  'dallas',
  'denver',
  'miami',
  'seattle',
  'austin',
];
const AIRPORTS = [
  'ATL',
  'ORD',
  'DFW',
  'DEN',
  'LAX',
  'SFO',
  'JFK',
  'SEA',
  'MCO',
  'MIA',
  'PHX',
  'BOS',
  'DTW',
  'MSP',
  'LAS',
];
/** Airports that nobody reads before they are wanted by everybody. */
const RUSHED = ['ANC', 'HNL', 'PDX', 'SAN', 'TPA', 'SLC', 'STL', 'PIT', 'MEM', 'BNA'];
const RUSH = 12;
const RIVALS = 5;
const TICKET_WITHIN = 20_000;
const RECOVERY_WITHIN = 20_000;

/**
 * @typedef {object} Stage what the scenes play on
 * @property {import('./api-client.mjs').ApiClient} api
 * @property {import('./tally.mjs').Tally} tally
 * @property {() => { flightId: number, seat: string }} nextSeat a seat that nobody has asked for
 * @property {string[]} bookings the ids of those that were made
 * @property {{ stop: () => Promise<unknown>, start: () => Promise<unknown> }} redis
 */

/** The same few searches over and over: loaded once, answered from the cache, and denied when there are too many. */
async function search({ api, tally: { searches }, tally }, forMs, report) {
  await keepCalling({ callers: 6, forMs, atLeast: 2 * SEARCHES_PER_MINUTE }, async (call) => {
    const answer = await api.get(`/airports?search=${encodeURIComponent(CITIES[call % CITIES.length])}&limit=3`);
    if (answer.status === 200) searches.allowed++;
    else if (answer.status === 429) searches.denied++;
    else countUnexpected(tally, answer);
    report(`${searches.allowed} answered, ${searches.denied} denied by the rate limit`);
  });
}

/** Popular reads: several callers want the same, one of them loads it. */
async function read({ api, tally }, forMs, report) {
  await keepCalling({ callers: 8, forMs, atLeast: 60 }, async (call) => {
    const code = AIRPORTS[Math.floor(call / 3) % AIRPORTS.length];
    const answer = await api.get(
      [`/airports/${code}`, `/airports/${code}/routes`, `/flights?origin=${code}`][call % 3],
    );
    if (answer.status === 200) tally.reads++;
    else countUnexpected(tally, answer);
    report(`${tally.reads} airports, routes and flights`);
  });
}

/** What nobody has read yet is wanted by many at the same moment: one of them loads it, the others wait for that. */
async function rush({ api, tally }, _forMs, report) {
  for (const code of RUSHED) {
    const answers = await Promise.all(Array.from({ length: RUSH }, () => api.get(`/airports/${code}/routes`)));
    for (const answer of answers) {
      if (answer.status === 200) tally.rush++;
      else countUnexpected(tally, answer);
    }
    report(`${tally.rush} asked for the routes of ${RUSHED.length} airports, ${RUSH} at a time`);
  }
}

/** Several passengers want the same seat at the same moment: one gets it, the others are refused. */
async function book(stage, forMs, report) {
  const { tally } = stage;
  await keepCalling({ callers: 2, forMs, atLeast: 10 }, async () => {
    const seat = { ...stage.nextSeat(), sold: 0, locked: 0, taken: 0 };
    tally.seats.push(seat);
    await Promise.all(Array.from({ length: RIVALS }, () => askFor(stage, seat)));
    const refused = sumOf(tally.seats, 'locked') + sumOf(tally.seats, 'taken');
    report(`${tally.seats.length} seats, ${sumOf(tally.seats, 'sold')} sold, ${refused} refused`);
  });
}

async function askFor({ api, tally, bookings }, seat) {
  const answer = await api.book(seat.flightId, seat.seat);
  if (answer.status === 201) {
    seat.sold++;
    bookings.push(answer.body.id);
  } else if (answer.code === 'LOCK_NOT_ACQUIRED') seat.locked++;
  else if (answer.code === 'SEAT_TAKEN') seat.taken++;
  else countUnexpected(tally, answer);
}

/** Redis goes away and comes back: reads go on without it, bookings are refused, and afterwards everything is as before. */
async function surviveOutage(stage, forMs, report) {
  const { outage } = stage.tally;
  const tell = () => report(`${outage.reads} reads without Redis, ${outage.refusedBookings} bookings refused`);
  // Some bookings are under way when it goes: sold or refused, and those that are sold get their ticket afterwards.
  const rush = keepCalling({ callers: 4, forMs: 300, pauseMs: 0 }, () => sellOne(stage));
  await sleep(150);
  await stage.redis.stop();
  await rush;
  await Promise.all([
    keepCalling({ callers: 2, forMs, atLeast: 8, pauseMs: 20 }, (call) => readWithoutRedis(stage, call).then(tell)),
    keepCalling({ callers: 2, forMs, atLeast: 2 }, () => sellOne(stage).then(tell)),
  ]);
  await stage.redis.start();
  const since = performance.now();
  const recovered = await becomesTrue(() => sellOne(stage), { withinMs: RECOVERY_WITHIN });
  if (recovered) outage.recoveredAfterMs = Math.round(performance.now() - since);
  const end = recovered ? `booking again after ${outage.recoveredAfterMs} ms` : 'no booking after its return';
  report(`${outage.reads} reads without Redis, ${outage.refusedBookings} bookings refused, ${end}`);
}

async function readWithoutRedis({ api, tally, tally: { outage } }, call) {
  const began = performance.now();
  const answer = await api.get(`/airports/${AIRPORTS[call % AIRPORTS.length]}`);
  if (answer.status !== 200) return countUnexpected(tally, answer);
  outage.reads++;
  outage.slowestReadMs = Math.max(outage.slowestReadMs, Math.round(performance.now() - began));
}

/** Asks for a seat that nobody else wants. Without Redis that is refused. @returns whether it was sold */
async function sellOne({ api, tally, nextSeat, bookings }) {
  const { flightId, seat } = nextSeat();
  const answer = await api.book(flightId, seat);
  if (answer.status === 201) bookings.push(answer.body.id);
  else if (answer.status === 503) tally.outage.refusedBookings++;
  else countUnexpected(tally, answer);
  return answer.status === 201;
}

/** Every booking gets its ticket by the stream, also those from before the outage. */
async function awaitTickets({ api, tally, bookings }, _forMs, report) {
  const waiting = new Set(bookings);
  tally.bookings.made = bookings.length;
  await becomesTrue(
    async () => {
      for (const id of waiting) {
        const { status, body } = await api.get(`/bookings/${id}`);
        if (status === 200 && body.ticket) waiting.delete(id);
      }
      tally.bookings.ticketed = bookings.length - waiting.size;
      report(`${tally.bookings.ticketed} of ${bookings.length} bookings have their ticket`);
      return waiting.size === 0;
    },
    { withinMs: TICKET_WITHIN },
  );
}

/** `share`: of the time that the traffic takes. */
export const scenes = [
  { title: 'searching', share: 0.25, play: search },
  { title: 'reading', share: 0.2, play: read },
  { title: 'rush', share: 0, play: rush },
  { title: 'booking', share: 0.35, play: book },
  { title: 'outage', share: 0.2, play: surviveOutage },
  { title: 'tickets', share: 0, play: awaitTickets },
];
