import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { RedisConnections, type RedisConnection } from '@redstart/redis-core';
import { cluster, describeOn, standalone } from '@redstart/redis-testing';
import { slidingWindow, type SlidingWindow } from '../src/index.js';
import { runDecide } from '../src/scripts/decide.js';
import { slidingWindowAlgorithm } from '../src/scripts/sliding-window.js';
import { startApp, type TestApp } from './test-app.js';

const call = { library: 'redis-ratelimit', operation: 'test', budgetMs: 5_000 };

describeOn(standalone, cluster)('the script of the sliding window', (redis) => {
  let app: TestApp;
  let connection: RedisConnection;

  beforeAll(async () => {
    app = await startApp(redis.connection, {});
    connection = app.get(RedisConnections).get('default');
  });
  afterAll(() => app.close());

  const take = async (key: string, limit: SlidingWindow, cost = 1) => {
    const { at, verdicts } = await runDecide(connection, call, [{ key, limit, cost }], true);
    const [verdict] = verdicts;
    if (verdict === undefined) throw new Error('no verdict');
    return { at, ...verdict };
  };

  it("computes what the model computes, at the server's own time", async () => {
    let run = 0;
    let denials = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          limit: fc.integer({ min: 1, max: 12 }),
          window: fc.integer({ min: 5, max: 60 }),
          buckets: fc.integer({ min: 1, max: 10 }),
        }),
        fc.array(fc.record({ pauseMs: fc.constantFrom(0, 0, 0, 1, 3, 9), cost: fc.integer({ min: 0, max: 4 }) }), {
          minLength: 5,
          maxLength: 30,
        }),
        async (options, calls) => {
          const limit = slidingWindow(options);
          const key = `{model:${++run}}:${redis.topology}`;
          const model = slidingWindowAlgorithm.counter(limit);
          const admitted: { at: number; cost: number }[] = [];
          for (const { pauseMs, cost } of calls) {
            if (pauseMs > 0) await sleep(pauseMs);
            const { at, ...verdict } = await take(key, limit, cost);
            const looked = model.look(at, cost);
            expect(verdict).toEqual(looked.allowed && cost > 0 ? model.take(at, cost) : looked);
            if (verdict.allowed) admitted.push({ at, cost });
            else denials++;
          }
          for (const { at } of admitted) {
            const inWindow = admitted.filter((other) => other.at > at - limit.windowMs && other.at <= at);
            expect(inWindow.reduce((sum, { cost }) => sum + cost, 0)).toBeLessThanOrEqual(limit.limit);
          }
        },
      ),
      { numRuns: 20, endOnFailure: true },
    );
    expect(denials).toBeGreaterThan(0);
  });

  it('admits exactly the limit when 250 callers come at once', async () => {
    const limit = slidingWindow({ limit: 100, window: '1m' });
    const verdicts = await Promise.all(Array.from({ length: 250 }, () => take('{crowd}', limit)));
    expect(verdicts.filter(({ allowed }) => allowed)).toHaveLength(100);
  });

  it('writes nothing for a denial, a look, or a cost of 0', async () => {
    const client = redis.client();
    const limit = slidingWindow({ limit: 2, window: '1h' });
    await take('{quiet}', limit, 2);
    await client.pexpire('{quiet}', 50_000);
    const before = await client.dumpBuffer('{quiet}');
    expect((await take('{quiet}', limit)).allowed).toBe(false);
    expect((await take('{quiet}', limit, 0)).allowed).toBe(true);
    await runDecide(connection, call, [{ key: '{quiet}', limit, cost: 1 }], false);
    expect(await client.dumpBuffer('{quiet}')).toEqual(before);
    expect(await client.pttl('{quiet}')).toBeLessThanOrEqual(50_000);
    await runDecide(connection, call, [{ key: '{unseen}', limit, cost: 1 }], false);
    expect(await client.exists('{unseen}')).toBe(0);
  });

  it('lets the key live as long as it counts, and drops buckets that no longer do', async () => {
    const client = redis.client();
    const limit = slidingWindow({ limit: 10, window: '10s' });
    await client.hset('{ttl}', '1', '7', '2', '1');
    const { mark } = await take('{ttl}', limit, 3);
    expect(await client.hgetall('{ttl}')).toEqual({ [mark]: '3' });
    const pttl = await client.pttl('{ttl}');
    expect(pttl).toBeGreaterThan(11_000);
    expect(pttl).toBeLessThanOrEqual(12_000);
  });

  it('stays within the limit when the clock has gone back, and for no longer than the window', async () => {
    const client = redis.client();
    const limit = slidingWindow({ limit: 5, window: '10s' });
    const { mark } = await take('{now}', limit);
    await client.hset('{clock}', mark + 3_600, '4'); // an hour ahead
    expect(await take('{clock}', limit)).toMatchObject({ allowed: true, remaining: 0, mark: mark + 3_600 });
    expect(await take('{clock}', limit)).toMatchObject({ allowed: false, retryAfterMs: 11_000 });
    expect(await client.pttl('{clock}')).toBeLessThanOrEqual(12_000);
  });

  it('charges several limits of one subject together, or none', async () => {
    const client = redis.client();
    const minute = { key: '{both}:minute', limit: slidingWindow({ limit: 2, window: '1m' }), cost: 1 };
    const hour = { key: '{both}:hour', limit: slidingWindow({ limit: 100, window: '1h' }), cost: 1 };
    for (let i = 0; i < 5; i++) await runDecide(connection, call, [minute, hour], true);
    const charged = async (key: string) => (await client.hvals(key)).reduce((sum, taken) => sum + Number(taken), 0);
    expect([await charged(minute.key), await charged(hour.key)]).toEqual([2, 2]);
  });
});
