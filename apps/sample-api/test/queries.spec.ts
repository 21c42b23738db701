import { AirportsRepository } from '../src/airports/airports.repository.js';
import { BookingsRepository } from '../src/bookings/bookings.repository.js';
import { SeatTakenProblem } from '../src/bookings/bookings.errors.js';
import { FlightsRepository } from '../src/flights/flights.repository.js';
import { UnknownResourceProblem } from '../src/problem/problem.js';
import { TicketsRepository } from '../src/tickets/tickets.repository.js';
import { type PreparedDatabase, prepareDatabase } from './support/prepared-database.js';

let prepared: PreparedDatabase;
beforeAll(async () => {
  prepared = await prepareDatabase();
});
afterAll(() => prepared[Symbol.asyncDispose]());

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
  const repository = () => new BookingsRepository(prepared.database);
  const passenger = { name: 'Amelia Earhart' };

  it('is sold once: the constraint decides, with no lock taken', async () => {
    const attempts = await Promise.allSettled(
      Array.from({ length: 20 }, () => repository().create({ flightId: 2, seat: '1A', passenger })),
    );

    expect(attempts.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const refusals = attempts.flatMap((attempt) => (attempt.status === 'rejected' ? [attempt.reason as unknown] : []));
    expect(refusals.every((refusal) => refusal instanceof SeatTakenProblem)).toBe(true);
  });

  it('of another flight is free', async () => {
    await repository().create({ flightId: 3, seat: '1A', passenger });
    await expect(repository().create({ flightId: 4, seat: '1A', passenger })).resolves.toMatchObject({ flightId: 4 });
  });

  it('of an unknown flight is not sold', async () => {
    await expect(repository().create({ flightId: 20_001, seat: '1A', passenger })).rejects.toThrow(
      UnknownResourceProblem,
    );
  });
});

describe('a ticket', () => {
  it('is issued once per booking, however often it is asked for', async () => {
    const bookings = new BookingsRepository(prepared.database);
    const tickets = new TicketsRepository(prepared.database);
    const { id, ticket } = await bookings.create({ flightId: 5, seat: '30F', passenger: { name: 'Bessie Coleman' } });
    expect(ticket).toBeNull();

    const outcomes = await Promise.all(Array.from({ length: 5 }, () => tickets.createOnce(id)));

    expect(outcomes.toSorted()).toEqual([...Array.from({ length: 4 }, () => 'already issued'), 'issued']);
    const issued = (await bookings.findById(id))?.ticket;
    expect(issued?.number).toMatch(/^999-\d{10}$/);
    await tickets.createOnce(id);
    expect((await bookings.findById(id))?.ticket).toEqual(issued);
  });
});
