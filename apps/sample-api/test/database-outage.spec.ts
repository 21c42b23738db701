import type { INestApplication } from '@nestjs/common';
import { RedisServer } from '@redstart/redis-testing';
import { sql } from 'kysely';
import { createApp } from '../src/app.js';
import { AppConfig } from '../src/config/app-config.js';
import { Database } from '../src/database/database.js';
import { eventually } from './support/eventually.js';
import { type FaultyProxy, startFaultyProxy } from './support/faulty-proxy.js';
import { giveTime } from './support/give-time.js';
import { HttpClient } from './support/http-client.js';
import { type PreparedDatabase, prepareDatabase } from './support/prepared-database.js';

let prepared: PreparedDatabase;
let redis: RedisServer;
let proxy: FaultyProxy;
let app: INestApplication;
let client: HttpClient;

beforeAll(async () => {
  [prepared, redis] = await Promise.all([prepareDatabase(), RedisServer.start()]);
});
afterAll(async () => {
  await prepared[Symbol.asyncDispose]();
  await redis.stop();
});
beforeEach(async () => {
  await redis.flush();
  proxy = await startFaultyProxy(prepared.url);
  app = await createApp(AppConfig.from({ DATABASE_URL: proxy.url, REDIS_URL: redis.url, OUTBOX_POLL_SECONDS: '3600' }));
  await app.listen(0, '127.0.0.1');
  client = new HttpClient(await app.getUrl());
});
afterEach(async () => {
  await app.close();
  await proxy[Symbol.asyncDispose]();
});

describe('when the database goes away', () => {
  it('what was read before is answered from the cache, and nothing else in its place', async () => {
    const cached = [
      '/airports/JFK',
      '/airports?search=san&limit=2',
      '/airports/JFK/routes',
      '/flights/1',
      '/flights?origin=DTW&limit=2',
      '/routes/popular',
    ];
    const read = () => Promise.all(cached.map(async (path) => (await client.get(path)).body));
    const before = await read();
    // What has been loaded is stored behind the answer, or not when Redis is slow: then with the next one. The keys of values end with a brace.
    await eventually(async () => {
      await read();
      expect(await redis.ask((server) => server.keys('flights:cache:*}'))).toHaveLength(cached.length);
    });
    proxy.cut();
    // A command that takes too long is a miss: on a machine that stalls, if at all.
    await eventually(async () => {
      expect(await read()).toEqual(before);
    });
    for (const other of [
      '/airports/LAX',
      '/airports?search=san&limit=3',
      '/airports/LAX/routes',
      '/flights/2',
      '/flights?origin=DTW&limit=3',
      '/flights?origin=LAX&limit=2',
    ]) {
      expect(await client.get(other)).toMatchObject({ status: 503 });
    }
  });

  it('requests that wait for it are answered 503, and the process lives', async () => {
    const ids = Array.from({ length: 30 }, (_, index) => index + 1);
    await Promise.all(ids.slice(0, 10).map((id) => client.get(`/flights/${id}`))); // the pool is warm
    proxy.hang();
    const waiting = ids.slice(10).map((id) => client.get(`/flights/${id}`));
    await eventually(() => {
      expect(proxy.held).toBeGreaterThan(0);
    });
    proxy.cut();
    const statuses = (await Promise.all(waiting)).map(({ status }) => status);
    expect(statuses).toEqual(statuses.map(() => 503));
  });

  it('a connection that breaks between two statements of a transaction ends that transaction, and not the process', async () => {
    const database = app.get(Database);
    const work = database.transaction().execute(async (transaction) => {
      await sql`select 1`.execute(transaction);
      proxy.cut();
      // The break is noticed while nothing is asked.
      await new Promise((resolve) => setTimeout(resolve, 50));
      await sql`select 1`.execute(transaction);
    });
    await expect(work).rejects.toThrow(/Connection terminated|ECONNRESET|connection error/);
  });

  it('a request waits no longer than 5 s for a database that hangs, and is answered also when the process is told to stop meanwhile', async () => {
    using _time = giveTime(app); // It is the database that makes it wait.
    await client.get('/flights/1');
    proxy.hang();
    const startedAt = performance.now();
    const asked = client.book({ flightId: 2, seat: '1A', passenger: { name: 'Amelia Earhart' } });
    await eventually(() => {
      expect(proxy.held).toBeGreaterThan(0);
    });
    const closing = app.close();
    expect(await asked).toMatchObject({ status: 503 });
    const waitedMs = performance.now() - startedAt;
    expect(waitedMs).toBeGreaterThan(4_500);
    // Once, and not a second time for the ROLLBACK.
    expect(waitedMs).toBeLessThan(9_500);
    proxy.cut();
    await closing;
  });
});
