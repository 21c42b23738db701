import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { ManualClock, RedisConnections, type RedisConnection } from '@redstart/redis-core';
import { cluster, describeOn, standalone } from '@redstart/redis-testing';
import { runThrottler, type ThrottlerRule } from '../../src/scripts/throttler.js';
import { LocalThrottler } from '../../src/throttler/local-throttler.js';
import { startApp, type TestApp } from '../test-app.js';
import { ThrottlerModel } from './throttler-model.js';

const call = { library: 'redis-ratelimit', operation: 'test', budgetMs: 10_000 };

/** Small enough that windows end and blocks pass within a run. */
const rules = fc.record({
  limit: fc.integer({ min: 0, max: 6 }),
  ttlMs: fc.constantFrom(0, 1, 4, 20, 60),
  blockMs: fc.constantFrom(0, 0, 1, 5, 30),
});

describeOn(standalone, cluster)('the script of the throttler', (redis) => {
  let app: TestApp;
  let connection: RedisConnection;

  beforeAll(async () => {
    app = await startApp(redis.connection, {});
    connection = app.get(RedisConnections).get('default');
  });
  afterAll(() => app.close());

  const keysOf = (name: string) => ({ hits: `{${name}}:hits`, block: `{${name}}:block` });
  const hit = (name: string, rule: ThrottlerRule) => runThrottler(connection, call, keysOf(name), rule);

  it("decides what the model decides, at the server's own time, also when limits change on the way", async () => {
    let run = 0;
    let denials = 0;
    await fc.assert(
      fc.asyncProperty(
        rules,
        fc.option(rules, { nil: undefined }),
        fc.array(fc.constantFrom(0, 0, 0, 1, 2, 7, 25), { minLength: 5, maxLength: 30 }),
        async (rule, later, pauses) => {
          const name = `model-${++run}`;
          const model = new ThrottlerModel();
          for (const [index, pauseMs] of pauses.entries()) {
            if (pauseMs > 0) await sleep(pauseMs);
            const current = later !== undefined && index >= pauses.length / 2 ? { ...rule, limit: later.limit } : rule;
            const { atUs, waitMs, ...verdict } = await hit(name, current);
            const { waitUs, ...expected } = model.hit(atUs, current);
            expect({ ...verdict, waitUs: BigInt(Math.round(waitMs * 1_000)) }).toEqual({ ...expected, waitUs });
            if (!verdict.allowed) denials++;
          }
        },
      ),
      { numRuns: 25, endOnFailure: true },
    );
    expect(denials).toBeGreaterThan(0);
  });

  it('counts a hit for exactly its ttl', async () => {
    const client = redis.client();
    const rule = { limit: 2, ttlMs: 60_000, blockMs: 0 };
    const { hits } = keysOf('exact');
    await hit('exact', rule);
    await hit('exact', rule);
    const { atUs, waitMs } = await hit('exact', rule);
    // The oldest hit is moved to the very edge: what is left of its window is what the next hit is told.
    await client.lset(hits, 0, String(atUs - 60_000_000 + 40_000_000));
    const edge = await hit('exact', rule);
    expect(edge.waitMs).toBe((40_000_000 - (edge.atUs - atUs)) / 1_000);
    expect(waitMs).toBeGreaterThan(edge.waitMs);
    await client.lset(hits, 0, String(atUs - 60_000_000));
    expect(await hit('exact', rule)).toMatchObject({ allowed: true, hits: 2 });
  });

  it('blocks until the microsecond it has told, and then counts afresh', async () => {
    const client = redis.client();
    const rule = { limit: 1, ttlMs: 60_000, blockMs: 30_000 };
    const { hits, block } = keysOf('block');
    await hit('block', rule);
    const first = await hit('block', rule);
    expect(first).toMatchObject({ allowed: false, hits: 2, waitMs: 30_000 });
    expect(await client.exists(hits)).toBe(0);
    expect(await client.get(block)).toBe(String(first.atUs + 30_000_000));
    const again = await hit('block', rule);
    expect(again.waitMs).toBe((30_000_000 - (again.atUs - first.atUs)) / 1_000);
    await client.set(block, String(again.atUs), 'PX', 30_000); // its end has just come
    expect(await hit('block', rule)).toMatchObject({ allowed: true, hits: 1 });
  });

  it('writes nothing for hits while blocked, nor for a denial without a block', async () => {
    const client = redis.client();
    const blocking = { limit: 1, ttlMs: 60_000, blockMs: 60_000 };
    const plain = { ...blocking, blockMs: 0 };
    const state = async (name: string) => {
      const keys = Object.values(keysOf(name));
      return Promise.all(keys.map(async (key) => [await client.dumpBuffer(key), await client.pexpiretime(key)]));
    };
    for (const [name, rule] of Object.entries({ blocking, plain })) {
      for (let i = 0; i < 2; i++) await hit(name, rule);
      const before = await state(name);
      for (let i = 0; i < 5; i++) expect((await hit(name, rule)).allowed).toBe(false);
      expect(await state(name)).toEqual(before);
    }
  });

  it('gives every key a TTL that ends with what it is for', async () => {
    const client = redis.client();
    const rule = { limit: 1, ttlMs: 40_000, blockMs: 90_000 };
    const { hits, block } = keysOf('ttl');
    const between = async (key: string, least: number, most: number) => {
      const left = await client.pttl(key);
      expect([key, left > least, left <= most]).toEqual([key, true, true]);
    };
    await hit('ttl', rule);
    await between(hits, 20_000, 40_001);
    await hit('ttl', rule);
    await between(block, 70_000, 90_001);
  });

  it('drops what has left the window, and finds the wait when the limit was lowered', async () => {
    const client = redis.client();
    const rule = { limit: 1_000, ttlMs: 60_000, blockMs: 0 };
    const { hits } = keysOf('log');
    const { atUs } = await hit('log', rule);
    const secondsAgo = (seconds: number) => String(atUs - seconds * 1_000_000);
    await client.del(hits);
    const ages = Array.from({ length: 120 }, (_, index) => 120 - index); // 120 s to 1 s ago
    await client.rpush(hits, ...ages.map(secondsAgo));
    await client.pexpire(hits, 60_000);
    const { hits: counted, ...next } = await hit('log', rule);
    const gone = Math.ceil((next.atUs - atUs) / 1_000_000); // of those within the window when it began
    expect(counted).toBe(60 - gone + 1);
    expect(await client.llen(hits)).toBe(counted);
    expect(await client.lindex(hits, 0)).toBe(secondsAgo(60 - gone));
    // The tenth of the last hits has to leave: that of 9 s ago, since the last one is now.
    const lowered = await hit('log', { ...rule, limit: 10 });
    expect(lowered).toMatchObject({ allowed: false, hits: 11 });
    expect(lowered.waitMs).toBe((60_000_000 - 9_000_000 - (lowered.atUs - atUs)) / 1_000);
  });

  it('stays within the limit when the clock has gone back, and for no longer than the ttl', async () => {
    const client = redis.client();
    const rule = { limit: 2, ttlMs: 10_000, blockMs: 0 };
    const { hits } = keysOf('clock');
    const { atUs } = await hit('now', rule);
    const ahead = String(atUs + 3_600_000_000);
    await client.rpush(hits, ahead);
    expect(await hit('clock', rule)).toMatchObject({ allowed: true, hits: 2 });
    expect(await client.lrange(hits, 0, -1)).toEqual([ahead, ahead]);
    const denied = await hit('clock', rule);
    expect(denied.allowed).toBe(false);
    expect(denied.waitMs).toBeGreaterThan(0);
    expect(denied.waitMs).toBeLessThanOrEqual(10_001);
    expect(await client.pttl(hits)).toBeLessThanOrEqual(10_001);
  });

  it('lets a hit leave the window at the very microsecond, and not one before', async () => {
    const client = redis.client();
    const rule = { limit: 2, ttlMs: 10_000, blockMs: 0 };
    // A last hit ahead of the clock makes time stand still at it.
    const { atUs } = await hit('now', rule);
    const still = atUs + 3_600_000_000;
    const edge = still - 10_000_000;
    const withHits = async (name: string, ...times: number[]) => {
      await client.rpush(keysOf(name).hits, ...times.map(String));
      await client.pexpire(keysOf(name).hits, 60_000);
      return (await hit(name, rule)).allowed;
    };
    expect(await withHits('at the edge', edge, still)).toBe(true);
    expect(await withHits('just inside', edge + 1, still)).toBe(false);
    expect(await withHits('the second at the edge', edge - 1, edge, still)).toBe(true);
    expect(await withHits('the second just inside', edge, edge + 1, still)).toBe(false);
  });

  it('takes no more memory for a hit than the README says', async () => {
    const client = redis.client();
    const rule = { limit: 10_000, ttlMs: 60_000, blockMs: 0 };
    const { hits } = keysOf('memory');
    const { atUs } = await hit('memory', rule);
    const times = Array.from({ length: 9_999 }, (_, index) => String(atUs + index));
    await client.rpush(hits, ...times);
    expect(Number(await client.memory('USAGE', hits, 'SAMPLES', 0)) / 10_000).toBeLessThan(12);
  });
});

describe('the local throttler', () => {
  it('decides what the model decides', () => {
    fc.assert(
      fc.property(
        rules,
        fc.array(fc.constantFrom(0, 0, 1, 2, 4, 19, 20, 21, 60), { minLength: 5, maxLength: 40 }),
        (rule, steps) => {
          const clock = new ManualClock(1_000);
          const local = new LocalThrottler(10, clock);
          const model = new ThrottlerModel();
          for (const step of steps) {
            clock.advance(step);
            const { waitMs, ...verdict } = local.hit('key', rule);
            const { waitUs, ...expected } = model.hit(clock.now() * 1_000, rule);
            expect({ ...verdict, waitUs: BigInt(waitMs * 1_000) }).toEqual({ ...expected, waitUs });
          }
        },
      ),
    );
  });

  it('remembers no more keys than it may, and forgets the one unused for longest', () => {
    const local = new LocalThrottler(2, new ManualClock());
    const rule = { limit: 1, ttlMs: 1_000, blockMs: 0 };
    for (const key of ['a', 'b', 'a', 'c']) local.hit(key, rule);
    expect(local.size).toBe(2);
    expect(local.hit('a', rule).allowed).toBe(false);
    expect(local.hit('b', rule).allowed).toBe(true);
  });
});
