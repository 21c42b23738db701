import fc from 'fast-check';
import { RedisConnections, type RedisConnection } from '@redstart/redis-core';
import { describeOn, standalone } from '@redstart/redis-testing';
import { concurrency, fixedWindow, gcra, slidingLog, slidingWindow, tokenBucket, type Limit } from '../src/index.js';
import { algorithmOf } from '../src/algorithms/algorithms.js';
import { decideAt } from './support/driven-script.js';
import { startApp, type TestApp } from './test-app.js';

const small = fc.integer({ min: 1, max: 12 });
const kinds: Record<string, fc.Arbitrary<Limit>> = {
  sw: fc
    .record({ limit: small, window: fc.integer({ min: 1, max: 60 }), buckets: fc.integer({ min: 1, max: 12 }) })
    .map(slidingWindow),
  sl: fc.record({ limit: small, window: fc.integer({ min: 1, max: 60 }) }).map(slidingLog),
  fw: fc
    .record({
      limit: small,
      window: fc.integer({ min: 1, max: 60 }),
      start: fc.constantFrom('calendar' as const, 'first-call' as const),
    })
    .map(fixedWindow),
  tb: fc
    .record({ capacity: small, per: fc.integer({ min: 1, max: 30 }), refill: small })
    .map((o) => tokenBucket({ ...o, refill: Math.min(o.refill, o.capacity) })),
  gcra: fc.record({ rate: small, per: fc.integer({ min: 1, max: 30 }), burst: small }).map(gcra),
  slots: fc.record({ limit: small, lease: fc.integer({ min: 100, max: 200 }) }).map(concurrency),
};

describeOn(standalone)('smoke', (redis) => {
  let app: TestApp;
  let connection: RedisConnection;
  beforeAll(async () => {
    app = await startApp(redis.connection, {});
    connection = app.get(RedisConnections).get('default');
  });
  afterAll(() => app.close());
  let run = 0;
  it.each(Object.keys(kinds))('%s: script = counter', async (kind) => {
    let denials = 0;
    await fc.assert(
      fc.asyncProperty(
        kinds[kind] ?? fc.constant(gcra({ rate: 1, per: 1 })),
        fc.array(
          fc.record({
            step: fc.oneof(
              fc.constantFrom(0, 1, -1, 1000, -1000, 60_000, -61_000, 500_000, -500_000),
              fc.integer({ min: 0, max: 20_000 }),
            ),
            cost: fc.integer({ min: 0, max: 13 }),
          }),
          { minLength: 1, maxLength: 40 },
        ),
        async (limit, calls) => {
          const key = `{m:${++run}}`;
          const counter = algorithmOf(limit).counter(limit);
          let now = 1_795_000_000_123_456;
          let n = 0;
          for (const { step, cost } of calls) {
            now += step;
            const id = `c${++n}`;
            const got = await decideAt(connection, now, [{ key, limit, cost }], { id });
            const lag = counter.at(now, id) - now;
            const wait = counter.wait(cost);
            const mark = wait === 0 && cost > 0 ? counter.take(cost) : 0;
            const left = counter.left();
            const expected = {
              allowed: wait === 0,
              blocked: false,
              remaining: left.remaining,
              retryUs: wait > 0 ? wait + lag : 0,
              resetUs: left.resetUs > 0 ? left.resetUs + lag : 0,
              mark,
            };
            expect(got.verdicts[0]).toEqual(expected);
            if (wait > 0) denials++;
            if (mark > 0 || expected.resetUs > 0) expect(got.ttlsMs[0]).not.toBe(-2);
          }
        },
      ),
      { numRuns: 60 },
    );
    expect(denials).toBeGreaterThan(0);
  });
});
