import { randomUUID } from 'node:crypto';
import { RedisConnections, type RedisConnection } from '@redstart/redis-core';
import { describeOn, standalone } from '@redstart/redis-testing';
import { concurrency, fixedWindow, gcra, slidingLog, slidingWindow, tokenBucket } from '../src/index.js';
import type { Limit } from '../src/algorithms/algorithms.js';
import { compilePolicy } from '../src/policies/policy.js';
import { decideAt, someMomentUs } from './support/driven-script.js';
import { startApp, type TestApp } from './test-app.js';

/** A limit in its fullest state, and the bytes that the README tells, of Redis 7.0. */
const states: readonly [name: string, limit: Limit, calls: number, bytes: number][] = [
  ['slidingWindow, 10 buckets', slidingWindow({ limit: 1_000_000, window: '1m' }), 11, 184],
  ['slidingWindow, 60 buckets', slidingWindow({ limit: 1_000_000, window: '1m', buckets: 60 }), 61, 600],
  ['slidingWindow, 120 buckets', slidingWindow({ limit: 1_000_000, window: '1m', buckets: 120 }), 121, 1624],
  ['slidingLog, 10 entries', slidingLog({ limit: 10, window: '1m' }), 10, 248],
  ['slidingLog, 100 entries', slidingLog({ limit: 100, window: '1m' }), 100, 1880],
  ['slidingLog, 1,000 entries', slidingLog({ limit: 1_000, window: '1m' }), 1_000, 94224],
  ['fixedWindow', fixedWindow({ limit: 1_000_000, window: '1m' }), 5, 120],
  ['tokenBucket', tokenBucket({ capacity: 1_000_000, per: '1m' }), 5, 120],
  ['gcra', gcra({ rate: 1_000_000, per: '1m' }), 5, 120],
  ['concurrency, 10 slots', concurrency({ limit: 10, lease: '1m' }), 10, 600],
  ['concurrency, 100 slots', concurrency({ limit: 100, lease: '1m' }), 100, 5208],
];

/** At the end of a bucket, so that N + 1 of them are counted within a window. */
const startUs = someMomentUs - (someMomentUs % 60_000_000n) - 1n;

describeOn(standalone)('the memory of a limit', (redis) => {
  let app: TestApp;
  let connection: RedisConnection;

  beforeAll(async () => {
    app = await startApp(redis.connection, {});
    connection = app.get(RedisConnections).get('default');
  });
  afterAll(() => app.close());

  it.each(states)('is as small as the README says: %s', async (_name, limit, calls, bytes) => {
    const key = `shop:ratelimit:{user:42}:${compilePolicy('api', limit, 'local').limits[0]?.part ?? ''}`;
    // So far apart that each has an entry of its own, and all of them count.
    const apartUs = limit.kind === 'concurrency' ? 1 : Math.floor((limit.windowMs * 1_000 - calls) / (calls - 1));
    for (let call = 0; call < calls; call++) {
      const atUs = startUs + BigInt(call * apartUs);
      const { outcomes } = await decideAt(connection, atUs, [{ key, limit, cost: 1 }], { id: randomUUID() });
      expect(outcomes[0]?.verdicts[0]?.allowed).toBe(true);
    }
    const client = redis.client();
    // As in use: the driven scripts take the TTL off.
    await client.pexpire(key, 60_000);
    const used = await client.memory('USAGE', key, 'SAMPLES', 0);
    // Servers differ a little.
    expect(used).toBeLessThan(bytes * 1.5);
  });
});
