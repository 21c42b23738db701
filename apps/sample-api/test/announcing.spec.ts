import { setTimeout as pause } from 'node:timers/promises';
import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { RedisUnavailableError } from '@redstart/redis-core';
import { getStreamToken, type StreamProducer } from '@redstart/redis-streams';
import { eventually, RedisServer } from '@redstart/redis-testing';
import { sql } from 'kysely';
import { createApp } from '../src/app.js';
import { BookingRelay } from '../src/bookings/booking-relay.js';
import { BookingsRepository } from '../src/bookings/bookings.repository.js';
import { bookingEvents } from '../src/bookings/bookings.stream.js';
import { AppConfig } from '../src/config/app-config.js';
import { Database } from '../src/database/database.js';
import { EmbeddedPostgres } from '../src/database/embedded-postgres.js';
import { migrateToLatest } from '../src/database/migrate.js';
import { HttpClient } from './support/http-client.js';

const STREAM = 'flights:stream:{bookings}';
const FLIGHT = 1;
/** So rarely that a test has to ask for each pass. */
const RARELY = { REPUBLISH_AFTER_SECONDS: '3600' };
const OFTEN = { REPUBLISH_AFTER_SECONDS: '1' };

let postgres: EmbeddedPostgres;
let database: Database;
let redis: RedisServer;
let running: NestExpressApplication[] = [];

beforeAll(async () => {
  [postgres, redis] = await Promise.all([EmbeddedPostgres.start(), RedisServer.start()]);
  database = new Database({ url: postgres.url, poolSize: 1 });
  await migrateToLatest(database);
  const somewhere = { name: 'Somewhere', city: null, state: null, country: 'USA', latitude: 0, longitude: 0 };
  await database
    .insertInto('airports')
    .values([
      { code: 'AAA', ...somewhere },
      { code: 'BBB', ...somewhere },
    ])
    .execute();
  await database
    .insertInto('flights')
    .values({
      id: FLIGHT,
      origin: 'AAA',
      destination: 'BBB',
      departs_at: '2001-01-01 00:47',
      delay_minutes: 0,
      distance_miles: 1,
    })
    .execute();
});
afterAll(async () => {
  await database.destroy();
  await Promise.all([postgres.stop(), redis.stop()]);
});

beforeEach(async () => {
  await redis.ask((client) => client.flushall());
  await database.deleteFrom('tickets').execute();
  await database.deleteFrom('bookings').execute();
});
afterEach(async () => {
  await Promise.all(running.map((app) => app.close()));
  running = [];
  jest.restoreAllMocks();
});

async function start(environment: NodeJS.ProcessEnv): Promise<{ app: NestExpressApplication; client: HttpClient }> {
  const app = await createApp(
    AppConfig.from({ DATABASE_URL: postgres.url, REDIS_URL: redis.url, DATABASE_POOL_SIZE: '4', ...environment }),
  );
  await app.listen(0, '127.0.0.1');
  running.push(app);
  return { app, client: new HttpClient(await app.getUrl()) };
}

const bookSeat = (client: HttpClient, seat: string) =>
  client.book({ flightId: FLIGHT, seat, passenger: { name: 'Amelia Earhart' } });

/** Bookings of two hours ago that nobody has announced, on the seats 1A, 1B … */
const bookUnannounced = (count: number) =>
  sql`
    insert into bookings (flight_id, seat, passenger_name, created_at)
    select ${FLIGHT}, (n / 6 + 1) || chr(65 + n % 6), 'Amelia Earhart', now() - interval '2 hours'
    from generate_series(0, ${count - 1}) as n`.execute(database);

const countTickets = async () => {
  const { rows } = await sql<{ count: number }>`select count(*)::int as count from tickets`.execute(database);
  return rows[0]?.count;
};
const announced = () => redis.ask((client) => client.xlen(STREAM));

describe('a booking that can not be announced', () => {
  it('is a 201 all the same, and has its ticket once the stream is repaired; the log tells of the outage once', async () => {
    const { client } = await start(OFTEN);
    const warn = jest.spyOn(Logger.prototype, 'warn');
    const failedPasses = jest.spyOn(BookingRelay.prototype, 'pass');
    await redis.ask(async (stream) => {
      await stream.del(STREAM);
      await stream.set(STREAM, 'no stream');
    });

    const booked = await bookSeat(client, '1A');
    expect(booked).toMatchObject({ status: 201, body: { seat: '1A', ticket: null } });
    await eventually(
      async () => {
        const ends = await Promise.allSettled(failedPasses.mock.results.map(({ value }) => value as Promise<number>));
        expect(ends.filter(({ status }) => status === 'rejected').length).toBeGreaterThan(1);
      },
      { within: 10_000 },
    );
    expect(warn.mock.calls.flat().filter((line) => String(line).includes('announced again'))).toHaveLength(1);
    expect(await countTickets()).toBe(0);

    await redis.ask((stream) => stream.del(STREAM));
    const { id } = booked.body as { id: string };
    await eventually(
      async () => {
        expect((await client.get(`/bookings/${id}`)).body).toMatchObject({
          ticket: { number: expect.any(String) as string },
        });
      },
      { within: 15_000 },
    );
  });

  it.each([
    ['an outage', new RedisUnavailableError('Redis did not answer.', 'unknown'), 'warn' as const],
    ['a defect', new TypeError('a defect'), 'error' as const],
  ])('is a 201 also for %s, which the log tells', async (_, failure, level) => {
    const { app, client } = await start(RARELY);
    const log = jest.spyOn(Logger.prototype, level);
    const producer = app.get<StreamProducer<typeof bookingEvents>>(getStreamToken(bookingEvents));
    jest.spyOn(producer, 'publish').mockRejectedValueOnce(failure);

    expect(await bookSeat(client, '1A')).toMatchObject({ status: 201 });
    expect(log.mock.calls.flat().join('\n')).toContain(failure.message);
    expect(await announced()).toBe(0);
  });
});

describe('the relay', () => {
  it('announces a booking once when two processes find it at the same moment, and it has one ticket', async () => {
    const [one, two] = await Promise.all([start(RARELY), start(RARELY)]);
    await bookUnannounced(1);

    const relays = [one.app.get(BookingRelay), two.app.get(BookingRelay)];
    const missing = await Promise.all([...relays, ...relays].map((relay) => relay.pass()));

    expect(missing.toSorted()).toEqual([0, 0, 0, 1]);
    expect(await announced()).toBe(1);
    await eventually(async () => {
      expect(await countTickets()).toBe(1);
    });
    expect(await Promise.all(relays.map((relay) => relay.pass()))).toEqual([0, 0]);
  });

  it('finds all of them, however many there are', async () => {
    const { app } = await start(RARELY);
    await bookUnannounced(179);
    expect(await app.get(BookingRelay).pass()).toBe(179);
    await eventually(async () => {
      expect(await countTickets()).toBe(179);
    });
  });

  it('leaves a young booking and one with a ticket alone', async () => {
    const { app, client } = await start(RARELY);
    await bookUnannounced(1);
    await sql`insert into tickets (booking_id) select id from bookings`.execute(database);
    expect(await bookSeat(client, '30F')).toMatchObject({ status: 201 });
    // Were it taken up, the message would be new again.
    await redis.ask((stream) => stream.flushall());
    expect(await app.get(BookingRelay).pass()).toBe(0);
  });

  it('is waited for at shutdown, and makes no pass after that', async () => {
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const find = BookingsRepository.prototype.findWithoutTicket;
    const found = jest.spyOn(BookingsRepository.prototype, 'findWithoutTicket').mockImplementation(async function (
      this: BookingsRepository,
      ...query
    ) {
      await gate;
      return find.apply(this, query);
    });
    await bookUnannounced(1);
    const { app } = await start(OFTEN);
    const warn = jest.spyOn(Logger.prototype, 'warn');
    await eventually(
      () => {
        expect(found).toHaveBeenCalledTimes(1);
      },
      { within: 5_000 },
    );

    let hasClosed = false;
    const closing = app.close().then(() => (hasClosed = true));
    await pause(150); // time enough to close the database and Redis, if nobody were waited for
    expect(hasClosed).toBe(false);
    release();
    await closing;

    expect(await announced()).toBe(1);
    expect(warn).not.toHaveBeenCalled();
    expect(found).toHaveBeenCalledTimes(1);
  });
});
