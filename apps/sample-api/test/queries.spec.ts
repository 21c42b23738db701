import { randomUUID } from 'node:crypto';
import { jest } from '@jest/globals';
import { sql } from 'kysely';
import { AirportsRepository } from '../src/airports/airports.repository.js';
import { BookingsRepository } from '../src/bookings/bookings.repository.js';
import { OvertakenProblem, SeatTakenProblem } from '../src/bookings/bookings.errors.js';
import { FlightsRepository } from '../src/flights/flights.repository.js';
import { OutboxRepository } from '../src/outbox/outbox.repository.js';
import { UnknownResourceProblem } from '../src/problem/problem.js';
import { RoutesRepository } from '../src/routes/routes.repository.js';
import { SeatsRepository } from '../src/seats/seats.repository.js';
import { TicketsRepository } from '../src/tickets/tickets.repository.js';
import { type PreparedDatabase, prepareDatabase } from './support/prepared-database.js';

let prepared: PreparedDatabase;
beforeAll(async () => {
  prepared = await prepareDatabase();
});
afterAll(() => prepared[Symbol.asyncDispose]());

const outbox = () => new OutboxRepository(prepared.database);
const bookings = () => new BookingsRepository(prepared.database, outbox());
const tickets = () => new TicketsRepository(prepared.database, outbox());
const passenger = { name: 'Amelia Earhart' };

/** Books as the holder of a lock would whose fencing token is the 1000th, unless told otherwise. */
const book = (flightId: number, seat: string, fencingToken = 1_000) =>
  bookings().create({ id: randomUUID(), flightId, seat, passenger, fencingToken });

describe('the loaded rows', () => {
  it('keep quoted commas and quotes, turn NA into null, and leave a departure in local time', async () => {
    const airports = await prepared.database
      .selectFrom('airports')
      .selectAll()
      .where('code', 'in', ['35A', 'DBN', 'CLD'])
      .orderBy('code')
      .execute();

    expect(airports).toMatchObject([
      { code: '35A', name: 'Union County, Troy Shelton' },
      { code: 'CLD', city: null, state: null, country: 'USA' },
      { code: 'DBN', name: 'W. H. "Bud" Barron' },
    ]);
    const flight = await prepared.database
      .selectFrom('flights')
      .selectAll()
      .where('id', '=', 1)
      .executeTakeFirstOrThrow();
    expect(flight.departs_at).toBe('2001-01-01 00:47:00');
  });
});

describe('airports', () => {
  const repository = () => new AirportsRepository(prepared.database);
  const codes = async (text: string, limit = 5) => (await repository().search(text, limit)).map(({ code }) => code);

  it('are found by code, in upper case', async () => {
    await expect(repository().findByCode('SFO')).resolves.toMatchObject({ city: 'San Francisco', state: 'CA' });
    await expect(repository().findByCode('AL08')).resolves.toMatchObject({ name: 'Vaiden' });
    await expect(repository().findByCode('XXX')).resolves.toBeUndefined();
  });

  it('are searched by code, city and name, the exact code and the busiest first', async () => {
    expect((await codes('ord'))[0]).toBe('ORD');
    expect((await codes('chicago')).slice(0, 2)).toEqual(['ORD', 'MDW']);
    expect(await codes('kennedy intl')).toContain('JFK');
    expect(await codes('san', 3)).toHaveLength(3);
  });

  it('take the wildcards of SQL literally', async () => {
    expect(await codes('%%')).toEqual([]);
    expect(await codes('__')).toEqual([]);
    expect(await codes('\\\\')).toEqual([]);
  });

  it('list their routes, the busiest first', async () => {
    const routes = await repository().routesFrom('SFO');
    expect(routes[0]).toEqual({
      origin: 'SFO',
      destination: 'LAX',
      destinationName: 'Los Angeles International',
      destinationCity: 'Los Angeles',
      flights: 13_788,
    });
    const counts = routes.map(({ flights }) => flights);
    expect(counts).toEqual(counts.toSorted((a, b) => b - a));
  });
});

describe('flights', () => {
  const repository = () => new FlightsRepository(prepared.database);

  it('keep their number and their local time', async () => {
    await expect(repository().findById(1)).resolves.toEqual({
      id: 1,
      origin: 'DTW',
      destination: 'LAS',
      departsAt: '2001-01-01T00:47',
      delayMinutes: 66,
      distanceMiles: 1750,
    });
    await expect(repository().findById(20_001)).resolves.toBeUndefined();
  });

  it('are searched by origin, destination and day, the earliest first', async () => {
    const flights = await repository().search({ origin: 'DTW', destination: 'LAS', date: '2001-01-01', limit: 100 });
    expect(flights[0]?.id).toBe(1);
    expect(flights.every(({ departsAt }) => departsAt.startsWith('2001-01-01T'))).toBe(true);

    const anywhere = await repository().search({ origin: 'DTW', limit: 100 });
    expect(anywhere).toHaveLength(100);
    expect(new Set(anywhere.map(({ destination }) => destination)).size).toBeGreaterThan(1);
  });
});

describe('a seat', () => {
  it('is sold once: the unique index decides, with no lock taken', async () => {
    const attempts = await Promise.allSettled(Array.from({ length: 20 }, () => book(2, '1A')));

    expect(attempts.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const refusals = attempts.flatMap((attempt) => (attempt.status === 'rejected' ? [attempt.reason as unknown] : []));
    expect(refusals.every((refusal) => refusal instanceof SeatTakenProblem)).toBe(true);
  });

  it('of another flight is free', async () => {
    await book(3, '1A');
    await expect(book(4, '1A')).resolves.toMatchObject({ flightId: 4 });
  });

  it('of an unknown flight is not sold', async () => {
    await expect(book(20_001, '1A')).rejects.toThrow(UnknownResourceProblem);
  });

  it('is taken in the seat map of its flight until its booking is cancelled, and can be sold again then', async () => {
    const seats = new SeatsRepository(prepared.database);
    const { id } = await book(6, '30F');
    await book(6, '2B');
    await expect(seats.findTaken(6)).resolves.toEqual(new Set(['30F', '2B']));

    await bookings().cancel(id);

    await expect(seats.findTaken(6)).resolves.toEqual(new Set(['2B']));
    await expect(book(6, '30F')).resolves.toMatchObject({ status: 'booked' });
    await expect(book(6, '30F')).rejects.toThrow(SeatTakenProblem);
  });
});

describe('the fence of a seat', () => {
  const bookingsOf = (flightId: number) =>
    prepared.database.selectFrom('bookings').select('id').where('flight_id', '=', flightId).execute();

  it('refuses a holder who was overtaken, also when the seat is free again', async () => {
    const { id } = await book(7, '1A', 2_000);
    await bookings().cancel(id);

    await expect(book(7, '1A', 1_999)).rejects.toThrow(OvertakenProblem);

    expect(await bookingsOf(7)).toEqual([{ id }]);
    await expect(book(7, '1A', 2_001)).resolves.toMatchObject({ status: 'booked' });
  });

  it('stays where it is when the write behind it fails', async () => {
    await book(8, '1A', 2_000);
    await expect(book(8, '1A', 3_000)).rejects.toThrow(SeatTakenProblem);
    const fences = prepared.database.selectFrom('seat_fences').select('fence').where('flight_id', '=', 8);
    await expect(fences.execute()).resolves.toEqual([{ fence: '2000' }]);
  });

  it('is one per flight and seat', async () => {
    await book(9, '1A', 2_000);
    await expect(book(9, '1B', 1)).resolves.toMatchObject({ seat: '1B' });
    await expect(book(10, '1A', 1)).resolves.toMatchObject({ flightId: 10 });
  });
});

describe('a booking', () => {
  const rowsOf = (bookingId: string) =>
    prepared.database
      .selectFrom('outbox')
      .select('type')
      .where('booking_id', '=', bookingId)
      .orderBy('position')
      .execute();
  const statusOf = async (id: string) => (await bookings().findById(id))?.status;
  /** The outbox takes no rows: `not valid` leaves those that it has alone. */
  const refuseRows = () =>
    sql`alter table outbox add constraint outbox_closed check (type is null) not valid`.execute(prepared.database);
  const takeRows = () => sql`alter table outbox drop constraint outbox_closed`.execute(prepared.database);

  it('and its cancelling have a row each in the outbox, however often it is cancelled', async () => {
    const { id } = await book(11, '1A');
    expect(await rowsOf(id)).toEqual([{ type: 'booking.created' }]);

    const outcomes = await Promise.all([1, 2, 3].map(() => bookings().cancel(id)));

    expect(outcomes.toSorted()).toEqual([false, false, true]);
    expect(await statusOf(id)).toBe('cancelled');
    expect(await rowsOf(id)).toEqual([{ type: 'booking.created' }, { type: 'booking.cancelled' }]);
    await expect(bookings().cancel(randomUUID())).resolves.toBe(false);
  });

  it('and its cancelling write their rows in their own transactions', async () => {
    const add = jest.spyOn(OutboxRepository.prototype, 'add').mockImplementation((transaction) => {
      // On another connection it would wait for ours.
      expect(transaction.isTransaction).toBe(true);
      return Promise.resolve();
    });
    try {
      const { id } = await book(11, '4A');
      await bookings().cancel(id);
      expect(add).toHaveBeenCalledTimes(2);
    } finally {
      add.mockRestore();
    }
  });

  it('is not made, and not cancelled, without its row', async () => {
    const { id } = await book(11, '2A');
    await refuseRows();
    try {
      await expect(book(11, '3A')).rejects.toThrow('outbox_closed');
      await expect(bookings().cancel(id)).rejects.toThrow('outbox_closed');
    } finally {
      await takeRows();
    }
    expect(await statusOf(id)).toBe('booked');
    await expect(book(11, '3A', 1)).resolves.toMatchObject({ seat: '3A' });
  });
});

describe('a ticket', () => {
  it('is issued once per booking, however often it is asked for', async () => {
    const { id, ticket } = await book(5, '30F');
    expect(ticket).toBeNull();

    const outcomes = await Promise.all(Array.from({ length: 5 }, () => tickets().createOnce(id)));

    expect(outcomes.toSorted()).toEqual([...Array.from({ length: 4 }, () => 'already issued'), 'issued']);
    const issued = (await bookings().findById(id))?.ticket;
    expect(issued).toMatchObject({ number: expect.stringMatching(/^999-\d{10}$/) as string, status: 'valid' });
    await tickets().createOnce(id);
    expect((await bookings().findById(id))?.ticket).toEqual(issued);
  });

  it('ends void when its booking was cancelled, in whatever order and however often that is heard of', async () => {
    const created = (id: string) => tickets().createOnce(id);
    const cancelled = (id: string) => tickets().voidOnce(id);
    const courses = [
      [created, cancelled],
      [cancelled, created],
      [created, cancelled, created, cancelled],
      [cancelled, cancelled, created],
    ];
    for (const [index, course] of courses.entries()) {
      const { id } = await book(12, `${index + 1}A`);
      for (const hearOf of course) await hearOf(id);
      const found = await prepared.database.selectFrom('tickets').selectAll().where('booking_id', '=', id).execute();
      expect(found).toMatchObject([{ booking_id: id, voided_at: expect.any(Date) as Date }]);
    }
  });

  it('keeps the time of its voiding', async () => {
    const { id } = await book(13, '1A');
    await tickets().voidOnce(id);
    const first = await tickets().findByBooking(id);
    await expect(tickets().voidOnce(id)).resolves.toBe('already void');
    await expect(tickets().findByBooking(id)).resolves.toEqual(first);
  });

  it('is found with its flight and passenger; of a booking without one nothing, of no booking undefined', async () => {
    const { id } = await book(1, '3C');
    await expect(tickets().findByBooking(id)).resolves.toBeNull();
    await tickets().createOnce(id);
    await expect(tickets().findByBooking(id)).resolves.toMatchObject({
      bookingId: id,
      seat: '3C',
      passenger,
      status: 'valid',
      voidedAt: null,
      flight: { id: 1, origin: 'DTW', destination: 'LAS', departsAt: '2001-01-01T00:47' },
    });
    await expect(tickets().findByBooking(randomUUID())).resolves.toBeUndefined();
  });
});

describe('routes', () => {
  it('are ranked by their bookings that are not cancelled', async () => {
    const { database } = prepared;
    const flights = await database
      .selectFrom('flights')
      .selectAll()
      .where('origin', '=', 'SFO')
      .where('destination', 'in', ['LAX', 'SEA'])
      .execute();
    const [toLosAngeles, toSeattle] = ['LAX', 'SEA'].map((code) => flights.find((one) => one.destination === code)?.id);
    if (toLosAngeles === undefined || toSeattle === undefined) throw new Error('The data has no such flights.');
    const ofSanFrancisco = async () =>
      (await new RoutesRepository(database).mostBooked(100)).filter(({ origin }) => origin === 'SFO');
    for (const seat of ['1A', '1B', '1C']) await book(toLosAngeles, seat);
    const { id } = await book(toSeattle, '1A');
    await book(toSeattle, '1B');

    expect(await ofSanFrancisco()).toEqual([
      { origin: 'SFO', destination: 'LAX', bookings: 3 },
      { origin: 'SFO', destination: 'SEA', bookings: 2 },
    ]);
    await bookings().cancel(id);
    expect(await ofSanFrancisco()).toMatchObject([{ bookings: 3 }, { bookings: 1 }]);
  });
});
