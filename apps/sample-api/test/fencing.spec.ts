import { jest } from '@jest/globals';
import type { INestApplication } from '@nestjs/common';
import { LockService } from '@redstart/redis-lock';
import { RedisServer } from '@redstart/redis-testing';
import { createApp } from '../src/app.js';
import { BookingsRepository } from '../src/bookings/bookings.repository.js';
import { AppConfig } from '../src/config/app-config.js';
import { SeatsRepository } from '../src/seats/seats.repository.js';
import { giveTime } from './support/give-time.js';
import { HttpClient } from './support/http-client.js';
import { type PreparedDatabase, prepareDatabase } from './support/prepared-database.js';

interface Served {
  readonly app: INestApplication;
  readonly client: HttpClient;
}

let prepared: PreparedDatabase;
let redis: RedisServer;
let sleeper: Served;
let other: Served;
let times: Disposable[];

async function serve(): Promise<Served> {
  const app = await createApp(AppConfig.from({ DATABASE_URL: prepared.url, REDIS_URL: redis.url }));
  await app.listen(0, '127.0.0.1');
  return { app, client: new HttpClient(await app.getUrl()) };
}

beforeAll(async () => {
  [prepared, redis] = await Promise.all([prepareDatabase(), RedisServer.start()]);
  [sleeper, other] = await Promise.all([serve(), serve()]);
});
afterAll(async () => {
  await Promise.all([sleeper.app.close(), other.app.close()]);
  await prepared[Symbol.asyncDispose]();
  await redis.stop();
});
beforeEach(() => {
  times = [sleeper, other].map(({ app }) => giveTime(app));
});
afterEach(() => {
  jest.restoreAllMocks();
  for (const time of times) time[Symbol.dispose]();
});

/** Where a process falls asleep: it gets there once, and goes on when it is woken. */
class SleepingPlace {
  readonly arrived: Promise<void>;
  readonly #woken: Promise<void>;
  #arrive: () => void = () => undefined;
  wake: () => void = () => undefined;

  constructor() {
    this.arrived = new Promise((resolve) => (this.#arrive = resolve));
    this.#woken = new Promise((resolve) => (this.wake = resolve));
  }

  async sleep(): Promise<void> {
    this.#arrive();
    await this.#woken;
  }
}

const booking = (flightId: number, seat: string) => ({ flightId, seat, passenger: { name: 'Amelia Earhart' } });

describe('a holder that slept through its lease', () => {
  it('sells no seat, not even one that was sold and given back meanwhile', async () => {
    const repository = sleeper.app.get(BookingsRepository, { strict: false });
    const create = repository.create.bind(repository);
    const place = new SleepingPlace();
    jest.spyOn(repository, 'create').mockImplementationOnce(async (sale) => {
      await place.sleep();
      return create(sale);
    });
    const late = sleeper.client.bookPatiently(booking(101, '12A'));
    await place.arrived;
    // Its lease lapses.
    expect(await other.app.get(LockService).forceRelease(['seat', 101, '12A'])).toBe(true);
    const sold = await other.client.bookPatiently(booking(101, '12A'));
    expect(sold.status).toBe(201);
    expect((await other.client.cancel((sold.body as { id: string }).id)).status).toBe(200);

    place.wake();
    expect(await late).toMatchObject({ status: 409, body: { code: 'OVERTAKEN' } });
    expect((await other.client.get('/flights/101/seats')).body).toMatchObject({ taken: 0 });
    expect((await other.client.bookPatiently(booking(101, '12A'))).status).toBe(201);
  });

  it('puts no old count over a newer one', async () => {
    const seats = sleeper.app.get(SeatsRepository, { strict: false });
    const findTaken = seats.findTaken.bind(seats);
    const place = new SleepingPlace();
    jest.spyOn(seats, 'findTaken').mockImplementationOnce(async (flightId) => {
      const taken = await findTaken(flightId);
      await place.sleep();
      return taken;
    });
    const late = sleeper.client.get('/flights/102/availability');
    await place.arrived;
    expect(await other.app.get(LockService).forceRelease(['availability', 102])).toBe(true);
    expect((await other.client.bookPatiently(booking(102, '1A'))).status).toBe(201);
    expect((await other.client.get('/flights/102/availability')).body).toMatchObject({ taken: 1, free: 179 });
    const key = 'flights:availability:{102}';
    expect(await redis.ask((client) => client.persist(key))).toBe(1); // However busy the machine is.
    const stored = () => redis.ask((client) => client.get(key));
    const before = await stored();

    place.wake();
    // It is refused, so it counts once more, for itself.
    expect(await late).toMatchObject({ status: 200, body: { taken: 1, free: 179 } });
    expect(before).toContain('"taken":1');
    expect(await stored()).toBe(before);
  });
});

describe('the availability of a flight', () => {
  it('is counted once for all, until it is five seconds old', async () => {
    const counts = [sleeper, other].map(({ app }) =>
      jest.spyOn(app.get(SeatsRepository, { strict: false }), 'findTaken'),
    );
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) => (n % 2 ? sleeper : other).client.get('/flights/103/availability')),
    );
    expect(new Set(answers.map(({ body }) => JSON.stringify(body))).size).toBe(1);
    expect(answers[0]).toMatchObject({ status: 200, body: { flightId: 103, free: 180, taken: 0 } });
    expect(counts.flatMap(({ mock }) => mock.calls)).toHaveLength(1);
    const leftMs = await redis.ask((client) => client.pttl('flights:availability:{103}'));
    expect(leftMs > 0 && leftMs <= 5_000).toBe(true);

    await other.client.bookPatiently(booking(103, '1A'));
    await redis.ask((client) => client.del('flights:availability:{103}'));
    expect((await sleeper.client.get('/flights/103/availability')).body).toMatchObject({ free: 179, taken: 1 });
  });

  it('is counted from the database while Redis is away', async () => {
    expect((await other.client.bookPatiently(booking(104, '1A'))).status).toBe(201);
    for (const time of times) time[Symbol.dispose]();
    await redis.kill();
    try {
      const answer = await other.client.get('/flights/104/availability');
      expect(answer).toMatchObject({ status: 200, body: { free: 179, taken: 1 } });
    } finally {
      await redis.restart();
    }
  });
});
