import { randomUUID } from 'node:crypto';
import type { INestApplication } from '@nestjs/common';
import { RedisServer } from '@redstart/redis-testing';
import { sql } from 'kysely';
import { createApp } from '../../src/app.js';
import { AppConfig } from '../../src/config/app-config.js';
import { DatabaseTimeoutError } from '../../src/database/database.errors.js';
import { Database } from '../../src/database/database.js';
import { eventually } from './eventually.js';
import { type FaultyProxy, startFaultyProxy } from './faulty-proxy.js';
import { giveTime } from './give-time.js';
import { HttpClient } from './http-client.js';
import type { PreparedDatabase } from './prepared-database.js';

const passenger = { name: 'Amelia Earhart' };

/** What holds on every database: an application that gives up after two seconds, behind a network that hangs. */
export function describeHanging(prepared: () => PreparedDatabase): void {
  let redis: RedisServer;
  let proxy: FaultyProxy;
  let app: INestApplication;
  let client: HttpClient;
  let flightId = 0;

  beforeAll(async () => {
    redis = await RedisServer.start();
  });
  afterAll(() => redis.stop());
  beforeEach(async () => {
    await redis.flush();
    flightId += 1;
    proxy = await startFaultyProxy(prepared().url);
    app = await createApp(
      AppConfig.from({
        DATABASE_URL: proxy.url,
        DATABASE_TIMEOUT_SECONDS: '2',
        DATABASE_POOL_SIZE: '3',
        REDIS_URL: redis.url,
      }),
    );
    giveTime(app); // It is the database that hangs.
    await app.listen(0, '127.0.0.1');
    client = new HttpClient(await app.getUrl());
  });
  afterEach(async () => {
    await app.close();
    await proxy[Symbol.asyncDispose]();
  });

  const book = (seat: string) => client.book({ flightId, seat, passenger });
  const idOf = ({ body }: { body: unknown }) => (body as { id: string }).id;
  const stored = async () => {
    const { rows } = await sql<{ seat: string; status: string; tickets: number; announced: number }>`
      select seat, case when cancelled_at is null then 'booked' else 'cancelled' end as status,
             (select count(*)::int from tickets where booking_id = bookings.id) as tickets,
             (select count(*)::int from outbox where booking_id = bookings.id) as announced
      from bookings where flight_id = ${flightId} order by seat`.execute(prepared().database);
    return rows;
  };
  const soldWithTicket = (...seats: string[]) =>
    seats.map((seat) => ({ seat, status: 'booked', tickets: 1, announced: 0 }));
  /** Asks while the network hangs at what is said, and has everything come through afterwards. */
  const askWhileHanging = async (said: string, ask: () => ReturnType<typeof book>) => {
    proxy.hangAt(said);
    const answer = await ask();
    expect(proxy.held).toBeGreaterThan(0);
    expect(answer).toMatchObject({
      status: 503,
      body: { detail: 'The database is not reachable at the moment. Try again.' },
    });
    expect(answer.headers.get('retry-after')).toBe('1');
    proxy.release();
  };
  /** More than there are connections, one after the other. */
  const everybodyIsServed = async () => {
    const seats = ['10A', '10B', '10C', '10D', '10E', '10F'];
    const answers = [];
    for (const seat of seats) answers.push(await book(seat), await client.get(`/flights/${flightId}/seats`));
    expect(answers.map(({ status }) => status)).toEqual(seats.flatMap(() => [201, 200]));
    return seats;
  };

  it('a booking that hangs is refused, and nobody commits it later', async () => {
    await askWhileHanging('insert into "bookings"', () => book('2A'));
    const seats = await everybodyIsServed();
    await eventually(async () => {
      expect(await stored()).toEqual(soldWithTicket(...seats));
    });
    expect((await book('2A')).status).toBe(201);
  });

  it('a cancelling that hangs is refused, and nobody commits it later', async () => {
    const id = idOf(await book('2A'));
    await eventually(async () => {
      expect(await stored()).toEqual(soldWithTicket('2A'));
    });
    await askWhileHanging('insert into "outbox"', () => client.cancel(id));
    const seats = await everybodyIsServed();
    await eventually(async () => {
      expect(await stored()).toEqual(soldWithTicket(...seats, '2A'));
    });
    await expect(client.get(`/bookings/${id}`)).resolves.toMatchObject({
      body: { status: 'booked', ticket: { status: 'valid' } },
    });
  });

  it('a statement that hangs, and fails later, leaves nobody a transaction that is aborted', async () => {
    await book('2A');
    await askWhileHanging('insert into "bookings"', () => book('2A'));
    await everybodyIsServed();
  });

  it('a COMMIT that hangs leaves the booking whole, with its ticket, or none at all', async () => {
    await askWhileHanging('commit', () => book('2A'));
    // The server gives up as long after as the caller did: on the COMMIT, or on the transaction that it has come too late for.
    const again = await book('2A');
    expect([201, 409]).toContain(again.status);
    // What hung may have been the relay's own COMMIT as well; then the row is due again when its lease is over.
    await eventually(
      async () => {
        expect(await stored()).toEqual(soldWithTicket('2A'));
      },
      { within: 60_000 },
    );
    expect(await book('2A')).toMatchObject({ status: 409, body: { code: 'SEAT_TAKEN' } });
  });

  it('its connection is broken off at once, and whatever is asked on it afterwards fails for that reason', async () => {
    await using one = oneConnection(proxy.url);
    const flight = (database: Pick<Database, 'updateTable'>) =>
      database.updateTable('flights').where('id', '=', flightId).set({ delay_minutes: 1 }).execute();
    let isRowFree = false;
    const work = one.database.transaction().execute(async (transaction) => {
      await flight(transaction);
      proxy.hangAt('select 42');
      await expect(sql`select 42`.execute(transaction)).rejects.toThrow(DatabaseTimeoutError);
      proxy.release();
      await flight(prepared().database);
      isRowFree = true;
    });
    await expect(work).rejects.toThrow(DatabaseTimeoutError);
    expect(isRowFree).toBe(true);
  });

  it('a connection is not used again on which somebody has left a transaction open', async () => {
    await using one = oneConnection(proxy.url);
    const seat = { id: randomUUID(), flight_id: flightId, seat: '3A', passenger_name: 'somebody' };
    await one.database.connection().execute(async (own) => {
      await sql`begin`.execute(own);
      await own.insertInto('bookings').values(seat).execute();
    });
    await one.database
      .insertInto('bookings')
      .values({ ...seat, id: randomUUID(), seat: '3B' })
      .execute();
    expect((await stored()).map((row) => row.seat)).toEqual(['3B']);
  });
}

/** A database with one connection, and little patience. */
export function oneConnection(url: string, limitMs = 2_000) {
  const database = new Database({ url, poolSize: 1, limitMs });
  return { database, [Symbol.asyncDispose]: () => database.destroy() };
}

/** One for all tests of a block. */
export function onceForAll(prepare: () => Promise<PreparedDatabase>): () => PreparedDatabase {
  let prepared: PreparedDatabase;
  beforeAll(async () => {
    prepared = await prepare();
  });
  afterAll(() => prepared[Symbol.asyncDispose]());
  return () => prepared;
}
