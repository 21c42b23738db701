import { RedisServer } from '@redstart/redis-testing';
import { createApp } from '../src/app.js';
import { AppConfig } from '../src/config/app-config.js';
import { type Stats, statsSchema } from '../src/stats/stats.dto.js';
import { eventually } from './support/eventually.js';
import { HttpClient } from './support/http-client.js';
import { type PreparedDatabase, prepareDatabase } from './support/prepared-database.js';

let prepared: PreparedDatabase;
let redis: RedisServer;

beforeAll(async () => {
  [prepared, redis] = await Promise.all([prepareDatabase(), RedisServer.start()]);
});
afterAll(async () => {
  await prepared[Symbol.asyncDispose]();
  await redis.stop();
});

interface Served extends AsyncDisposable {
  readonly client: HttpClient;
}

async function serve(environment: NodeJS.ProcessEnv): Promise<Served> {
  const config = AppConfig.from({ DATABASE_URL: prepared.url, REDIS_URL: redis.url, ...environment });
  const app = await createApp(config);
  await app.listen(0, '127.0.0.1');
  return { client: new HttpClient(await app.getUrl()), [Symbol.asyncDispose]: () => app.close() };
}

async function readStats(client: HttpClient): Promise<Stats> {
  const { status, body } = await client.get('/stats');
  expect(status).toBe(200);
  return statsSchema.parse(body);
}

function callsOf({ operations }: Stats, operation: string) {
  return operations.find((one) => one.operation === operation) ?? { library: '', calls: 0, failed: 0 };
}

describe('GET /stats', () => {
  it('is there only where it is asked for, and so is its documentation', async () => {
    for (const [STATS, status] of [
      ['', 404],
      ['off', 404],
      ['on', 200],
    ] as const) {
      await using served = await serve({ STATS });
      expect((await served.client.get('/stats')).status).toBe(status);
      const { paths } = (await served.client.get('/docs-json')).body as { paths: object };
      expect('/stats' in paths).toBe(status === 200);
    }
    expect(() => AppConfig.from({ DATABASE_URL: prepared.url, REDIS_URL: redis.url, STATS: 'yes' })).toThrow(
      'STATS must be on or off',
    );
  });

  it('counts what each library did, and how it was answered', async () => {
    await using served = await serve({ STATS: 'on', SEARCHES_PER_MINUTE: '2' });
    const { client } = served;
    expect(await readStats(client)).toMatchObject({ answers: {}, cache: { hits: 0, misses: 0, loads: 0 } });

    const seen: Record<string, number> = {};
    const note = <Told extends { status: number }>(answer: Told): Told => {
      seen[answer.status] = (seen[answer.status] ?? 0) + 1;
      return answer;
    };
    await client.get('/airports/SFO');
    await client.get('/airports/SFO');
    for (let asked = 0; asked < 4; asked += 1) note(await client.get('/airports?search=detroit'));
    const { 200: found = 0, 429: denied = 0 } = seen;
    expect(found + denied).toBe(4);
    expect(denied).toBeGreaterThan(0);
    const book = async () =>
      note(await client.book({ flightId: 1, seat: '12A', passenger: { name: 'Amelia Earhart' } })).status;
    await eventually(async () => {
      expect(await book()).toBe(201);
    });
    await eventually(async () => {
      expect(await book()).toBe(409);
    });

    await eventually(async () => {
      const stats = await readStats(client);
      const { hits, misses, loads, stores, errors } = stats.cache;
      expect([hits + misses, loads]).toEqual([2 + found, misses]);
      // One of each is loaded, and one more for each command that took too long: on a machine that stalls, if at all.
      expect(misses).toBeGreaterThanOrEqual(2);
      expect(misses).toBeLessThanOrEqual(2 + errors);
      expect(stores).toBeGreaterThanOrEqual(loads - errors);
      expect(stats.outbox).toEqual({ published: 1, repeated: 0 });
      expect(stats.answers).toMatchObject({ 201: 1, 409: seen[409], 429: denied });
      expect(callsOf(stats, 'cache.get')).toMatchObject({ library: 'redis-cache' });
      expect(callsOf(stats, 'cache.get').failed).toBeLessThanOrEqual(errors);
      const booked = Object.values(seen).reduce((sum, times) => sum + times, 0) - 4;
      expect(callsOf(stats, 'ratelimit.consume')).toMatchObject({ library: 'redis-ratelimit', calls: 4 + booked });
      expect(callsOf(stats, 'lock.acquire').library).toBe('redis-lock');
      expect(callsOf(stats, 'lock.acquire').calls).toBeGreaterThanOrEqual(2);
      expect(callsOf(stats, 'streams.publish').calls).toBeGreaterThanOrEqual(1);
      expect(callsOf(stats, 'streams.acknowledge').calls).toBeGreaterThanOrEqual(1);
    });
  });

  it('tells of an outage while it lasts, and names no key and no address', async () => {
    await using server = await RedisServer.start();
    await using served = await serve({ STATS: 'on', REDIS_URL: server.url });
    await server.kill();
    expect((await served.client.get('/airports/LAX')).status).toBe(200);

    const stats = await readStats(served.client);
    expect(stats.cache).toMatchObject({ hits: 0, loads: 1, stores: 0 });
    expect(stats.cache.errors).toBeGreaterThanOrEqual(1);
    expect(callsOf(stats, 'cache.get').failed).toBe(1);
    expect(JSON.stringify(stats)).not.toMatch(/LAX|127\.0\.0\.1|redis:\/\//);
  });
});
