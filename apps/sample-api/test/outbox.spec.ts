import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { RedisUnavailableError } from '@redstart/redis-core';
import { getOutboxRelayToken, getStreamToken, OutboxRelay, type StreamProducer } from '@redstart/redis-streams';
import { RedisServer } from '@redstart/redis-testing';
import { sql } from 'kysely';
import { createApp } from '../src/app.js';
import { bookingEvents } from '../src/bookings/bookings.stream.js';
import { AppConfig } from '../src/config/app-config.js';
import { DatabaseTimeoutError } from '../src/database/database.errors.js';
import { Database } from '../src/database/database.js';
import { migrateToLatest } from '../src/database/migrate.js';
import { BookingOutbox } from '../src/outbox/booking-outbox.js';
import { OutboxRepository } from '../src/outbox/outbox.repository.js';
import { TicketsRepository } from '../src/tickets/tickets.repository.js';
import { eventually } from './support/eventually.js';
import { insertFlights } from './support/few-flights.js';
import { giveTime } from './support/give-time.js';
import { HttpClient } from './support/http-client.js';
import { type StartedDatabase, startEmbedded } from './support/prepared-database.js';

const STREAM = 'flights:stream:{bookings}';
const FLIGHT = 1;
/** So rarely that a pass is made when a booking asks for it, or a test. */
const RARELY = { OUTBOX_POLL_SECONDS: '3600', REPUBLISH_AFTER_SECONDS: '3600' };
const OFTEN = { OUTBOX_POLL_SECONDS: '1', REPUBLISH_AFTER_SECONDS: '1' };

let postgres: StartedDatabase;
let database: Database;
let redis: RedisServer;
let running: NestExpressApplication[] = [];

beforeAll(async () => {
  [postgres, redis] = await Promise.all([startEmbedded('empty'), RedisServer.start()]);
  database = new Database({ url: postgres.url, poolSize: 1 });
  await migrateToLatest(database);
  await insertFlights(database, FLIGHT);
});
afterAll(async () => {
  await database.destroy();
  await Promise.all([postgres[Symbol.asyncDispose](), redis.stop()]);
});

beforeEach(async () => {
  await redis.ask((client) => client.flushall());
  await database.deleteFrom('outbox').execute();
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
  giveTime(app); // No spec is about a slow Redis.
  await app.listen(0, '127.0.0.1');
  running.push(app);
  return { app, client: new HttpClient(await app.getUrl()) };
}

const bookSeat = (client: HttpClient, seat: string) =>
  client.bookPatiently({ flightId: FLIGHT, seat, passenger: { name: 'Amelia Earhart' } });

/** Bookings that were committed by a process that could not tell its relay any more, on the seats 1A, 1B … */
const bookUntold = (count: number) =>
  sql`
    with booked as (
      insert into bookings (flight_id, seat, passenger_name)
      select ${FLIGHT}, (n / 6 + 1) || chr(65 + n % 6), 'Amelia Earhart' from generate_series(0, ${count - 1}) as n
      returning id
    )
    insert into outbox (type, booking_id) select 'booking.created', id from booked`.execute(database);

const countTickets = async () => {
  const { rows } = await sql<{ count: number }>`select count(*)::int as count from tickets`.execute(database);
  return rows[0]?.count;
};
const outboxRows = () =>
  database.selectFrom('outbox').select(['id', 'type', 'published_at']).orderBy('position').execute();
/** What was added to the stream, in its order: type and message id. */
const messages = async () => {
  const entries = await redis.ask((client) => client.xrange(STREAM, '-', '+'));
  return entries.map(([, fields]) => ({ type: fields[fields.indexOf('t') + 1], id: fields[fields.indexOf('i') + 1] }));
};
const relayOf = (app: NestExpressApplication) => app.get<OutboxRelay>(getOutboxRelayToken(bookingEvents));
/** Holds every call of a method back until it is released. */
function hold<Subject extends object>(subject: Subject, method: keyof Subject & string) {
  let release: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => (release = resolve));
  const original = Reflect.get(subject, method) as (...args: unknown[]) => unknown;
  const held = jest.fn(async function (this: unknown, ...args: unknown[]) {
    await gate;
    return original.apply(this, args);
  });
  Reflect.set(subject, method, held);
  return {
    held,
    release,
    [Symbol.dispose]: () => {
      release();
      Reflect.set(subject, method, original);
    },
  };
}

describe('a booking that can not be announced', () => {
  it('is a 201 all the same, and has its ticket once the stream is repaired; the log tells of the outage once', async () => {
    const { client } = await start(OFTEN);
    const warn = jest.spyOn(Logger.prototype, 'warn');
    const passes = jest.spyOn(OutboxRelay.prototype, 'pass');
    await redis.ask(async (stream) => {
      await stream.del(STREAM);
      await stream.set(STREAM, 'no stream');
    });

    const booked = await bookSeat(client, '1A');
    expect(booked).toMatchObject({ status: 201, body: { seat: '1A', ticket: null } });
    await eventually(
      async () => {
        const ends = await Promise.allSettled(passes.mock.results.map(({ value }) => value as Promise<number>));
        expect(ends.filter(({ status }) => status === 'rejected').length).toBeGreaterThan(1);
      },
      { within: 30_000 },
    );
    expect(warn.mock.calls.flat().filter((line) => String(line).includes('can not be announced'))).toHaveLength(1);
    expect(await outboxRows()).toMatchObject([{ type: 'booking.created', published_at: null }]);

    await redis.ask((stream) => stream.del(STREAM));
    const { id } = booked.body as { id: string };
    await eventually(
      async () => {
        expect((await client.get(`/bookings/${id}`)).body).toMatchObject({ ticket: { status: 'valid' } });
        expect(await outboxRows()).toEqual([]);
      },
      { within: 30_000 },
    );
  });

  it('has those behind it wait for the next poll, so that an outage is not made worse by those who book', async () => {
    const { client } = await start(RARELY);
    const passes = jest.spyOn(OutboxRelay.prototype, 'pass');
    const warn = jest.spyOn(Logger.prototype, 'warn');
    await redis.ask((stream) => stream.set(STREAM, 'no stream'));
    await bookSeat(client, '1A');
    await eventually(() => {
      expect(warn.mock.calls.flat().join()).toContain('can not be announced');
    });
    for (const seat of ['1B', '1C', '1D']) expect(await bookSeat(client, seat)).toMatchObject({ status: 201 });
    expect(passes).toHaveBeenCalledTimes(1);
    expect(await outboxRows()).toHaveLength(4);
    await redis.ask((stream) => stream.del(STREAM));
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
    await eventually(() => {
      expect(log.mock.calls.flat().join('\n')).toContain(failure.message);
    });
    expect(await messages()).toEqual([]);
    await eventually(async () => {
      expect(await relayOf(app).pass()).toBe(1);
    });
  });
});

describe('a ticket that can not be issued', () => {
  it.each([
    ['because the database is away, is no defect of ours', new DatabaseTimeoutError(5_000), 0],
    ['because of a defect, is logged as one', new TypeError('a defect'), 1],
  ])('%s; the consumer tells that its message comes again', async (_, failure, errors) => {
    const { client } = await start(RARELY);
    const error = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    const warn = jest.spyOn(Logger.prototype, 'warn');
    jest.spyOn(TicketsRepository.prototype, 'createOnce').mockRejectedValueOnce(failure);
    await bookSeat(client, '1A');
    await eventually(() => {
      expect(warn.mock.calls.flat().join()).toContain(failure.message);
    });
    expect(error).toHaveBeenCalledTimes(errors);
  });
});

describe('the relay', () => {
  it('publishes soon after the commit, under the id of the row, without waiting for the poll', async () => {
    const { client } = await start(RARELY);
    using issuing = hold(TicketsRepository.prototype, 'createOnce');
    const booked = await bookSeat(client, '1A');
    await eventually(async () => {
      expect(await outboxRows()).toMatchObject([{ published_at: expect.any(Date) as Date }]);
    });
    const [row] = await outboxRows();
    expect(await messages()).toEqual([{ type: 'booking.created', id: row?.id }]);
    expect(booked.status).toBe(201);
    expect(issuing.held).toHaveBeenCalledTimes(1);
  });

  it('announces a cancelling without waiting for the poll, too', async () => {
    const { client } = await start(RARELY);
    const booked = await bookSeat(client, '1A');
    const { id } = booked.body as { id: string };
    const statusOfTicket = async () =>
      ((await client.get(`/bookings/${id}/ticket`)).body as { status: unknown }).status;
    await eventually(async () => {
      expect(await statusOfTicket()).toBe('valid');
    });
    expect(await client.cancel(id)).toMatchObject({ status: 200, body: { status: 'cancelled' } });
    await eventually(async () => {
      expect(await statusOfTicket()).toBe('void');
    });
  });

  it('polls for what nobody has told it of', async () => {
    await start(OFTEN);
    await bookUntold(1);
    await eventually(
      async () => {
        expect(await countTickets()).toBe(1);
      },
      { within: 30_000 },
    );
  });

  it('publishes a row once when two processes find it at the same moment, and its booking has one ticket', async () => {
    const [one, two] = await Promise.all([start(RARELY), start(RARELY)]);
    await bookUntold(1);

    const relays = [relayOf(one.app), relayOf(two.app)];
    const added = await Promise.all([...relays, ...relays].map((relay) => relay.pass()));

    expect(added.toSorted()).toEqual([0, 0, 0, 1]);
    expect(await messages()).toHaveLength(1);
    await eventually(async () => {
      expect(await countTickets()).toBe(1);
      expect(await outboxRows()).toEqual([]);
    });
  });

  it('publishes all of them, however many there are, in their order', async () => {
    const { app } = await start(RARELY);
    await bookUntold(179);
    const rows = await outboxRows();
    // A pass ends where Redis takes too long: on a machine that stalls, if at all.
    await eventually(async () => {
      await relayOf(app).pass();
      expect(await messages()).toHaveLength(179);
    });
    expect((await messages()).map(({ id }) => id)).toEqual(rows.map(({ id }) => id));
    await eventually(async () => {
      expect(await countTickets()).toBe(179);
    });
  });

  it('lets no message about a booking overtake an earlier one, also one that another relay has', async () => {
    const outbox = new OutboxRepository(database);
    await bookUntold(1);
    await sql`insert into outbox (type, booking_id) select 'booking.cancelled', id from bookings`.execute(database);

    const [created, ...others] = await outbox.claimDue({ limit: 10, forSeconds: 60 });
    expect(created).toMatchObject({ type: 'booking.created' });
    expect(others).toEqual([]);
    expect(await outbox.claimDue({ limit: 10, forSeconds: 60 })).toEqual([]);

    await outbox.markPublished([created?.id ?? ''], { dueAgainAfterSeconds: 60 });
    expect(await outbox.claimDue({ limit: 10, forSeconds: 60 })).toMatchObject([{ type: 'booking.cancelled' }]);
  });

  it('stops at a message that fails, and takes up from there', async () => {
    const { app } = await start(RARELY);
    await bookUntold(3);
    const rows = await outboxRows();
    const producer = app.get<StreamProducer<typeof bookingEvents>>(getStreamToken(bookingEvents));
    const publish = producer.publish.bind(producer);
    jest.spyOn(producer, 'publish').mockImplementation((type, payload, options) => {
      if (options?.messageId !== rows[1]?.id) return publish(type, payload, options);
      return Promise.reject(new RedisUnavailableError('Redis did not answer.', 'unknown'));
    });

    await expect(relayOf(app).pass()).rejects.toThrow(RedisUnavailableError);
    expect((await messages()).map(({ id }) => id)).toEqual([rows[0]?.id]);

    jest.restoreAllMocks();
    expect(await relayOf(app).pass()).toBe(2);
    expect((await messages()).map(({ id }) => id)).toEqual(rows.map(({ id }) => id));
  });

  it('leaves the rows of another relay alone until its lease is over', async () => {
    const { app } = await start(RARELY);
    await bookUntold(1);
    await new OutboxRepository(database).claimDue({ limit: 1, forSeconds: 60 });
    expect(await relayOf(app).pass()).toBe(0);
    await sql`update outbox set due_at = now() - interval '1 ms'`.execute(database);
    expect(await relayOf(app).pass()).toBe(1);
  });

  it('publishes again what got lost with the stream, once its ticket is overdue', async () => {
    const { app } = await start(RARELY);
    await bookUntold(1);
    using issuing = hold(TicketsRepository.prototype, 'createOnce');
    expect(await relayOf(app).pass()).toBe(1);
    await redis.ask((stream) => stream.flushall());
    expect(await relayOf(app).pass()).toBe(0);

    await sql`update outbox set due_at = now()`.execute(database);
    expect(await relayOf(app).pass()).toBe(1);
    expect(app.get(BookingOutbox).counts).toEqual({ published: 2, repeated: 1 });
    issuing.release();
    await eventually(async () => {
      expect(await countTickets()).toBe(1);
      expect(await outboxRows()).toEqual([]);
    });
  });

  it('adds nothing by repeating a message that is still in the stream', async () => {
    const { app } = await start(RARELY);
    await bookUntold(1);
    using _issuing = hold(TicketsRepository.prototype, 'createOnce');
    expect(await relayOf(app).pass()).toBe(1);
    await sql`update outbox set due_at = now()`.execute(database);
    expect(await relayOf(app).pass()).toBe(0);
    expect(await messages()).toHaveLength(1);
  });

  it('is waited for at shutdown, publishes what was told meanwhile, and makes no pass after that', async () => {
    const { app } = await start(RARELY);
    const warn = jest.spyOn(Logger.prototype, 'warn');
    using claiming = hold(OutboxRepository.prototype, 'claimDue');
    await bookUntold(101);
    relayOf(app).kick();
    await eventually(() => {
      expect(claiming.held).toHaveBeenCalledTimes(1);
    });
    relayOf(app).kick();

    let hasClosed = false;
    const closing = app.close().then(() => (hasClosed = true));
    // Time enough to close the database and Redis, if nobody were waited for: both are asked, and answer.
    for (let asked = 0; asked < 50; asked += 1) await Promise.all([countTickets(), messages()]);
    expect(hasClosed).toBe(false);
    claiming.release();
    await closing;

    expect(await messages()).toHaveLength(101);
    expect(warn).not.toHaveBeenCalled();
    expect(claiming.held).toHaveBeenCalledTimes(2);
  });
});
