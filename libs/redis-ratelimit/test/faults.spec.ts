import { describeOn, eventually, FaultProxy, RedisSentinel, RedisServer, standalone } from '@redstart/redis-testing';
import { concurrency, createPolicies, gcra, RateLimitService, slidingWindow } from '../src/index.js';
import { startApp, type TestApp } from './test-app.js';

const policies = createPolicies({
  api: slidingWindow({ limit: 5, window: '1h' }),
  rate: gcra({ rate: 5, per: '1h' }),
  pay: slidingWindow({ limit: 1_000, window: '1h', exact: true }),
  closed: slidingWindow({ limit: 5, window: '1h', onError: 'closed' }),
  export: concurrency({ limit: 1, lease: '1s' }),
});

const budgetMs = 100;
/** What may come late on a busy machine: budgets are short here, so that it takes several attempts. */
const roomy = { within: 15_000 };

describe('when Redis', () => {
  let app: TestApp | undefined;
  afterEach(async () => {
    await app?.close();
    app = undefined;
  });
  const limiterAt = async (connection: Parameters<typeof startApp>[0], budget = budgetMs) => {
    app = await startApp(connection, { policies, budget });
    return app.get(RateLimitService);
  };

  it('restarts empty, counters restart, and nobody has to restart the application', async () => {
    await using server = await RedisServer.start();
    const limiter = await limiterAt({ url: server.url });
    for (let i = 0; i < 6; i++) await limiter.consume('api', 'ann');
    await server.kill();
    // Its own count begins here: there is no other.
    await eventually(async () => {
      expect((await limiter.consume('api', 'bob')).decidedBy).toBe('local');
    });
    await server.restart();
    await eventually(async () => {
      expect(await limiter.consume('rate', 'eve', { cost: 0 })).toMatchObject({ decidedBy: 'redis', remaining: 5 });
      expect(await limiter.peek('api', 'ann')).toMatchObject({ decidedBy: 'redis', remaining: 5 });
    }, roomy);
  }, 90_000);

  // Longer by far than a machine stalls: what has arrived by then is no outage.
  it.each([1_500, 5_000])('is slow by %i ms, no call waits longer than the budget', async (latencyMs) => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    const limiter = await limiterAt({ url: proxy.url });
    await limiter.consume('rate', 'warm');
    using slow = proxy.latency(latencyMs);
    const calls = ['api', 'rate'].flatMap((policy) => [1, 2, 3].map(() => limiter.consume(policy, 'ann')));
    const started = performance.now();
    const decisions = await Promise.all(calls);
    expect(decisions.map(({ decidedBy }) => decidedBy)).toEqual(calls.map(() => 'local'));
    await expect(limiter.consume('closed', 'ann')).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' });
    expect(performance.now() - started).toBeLessThan(4_500);
    await eventually(() => slow.injected > 0); // a reply that is slow has to be there first
  });

  it('stands still, the policies decide, and the slot of a call is lost in time', async () => {
    await using server = await RedisServer.start();
    const limiter = await limiterAt({ url: server.url }, 1_000); // enough for the slot to come from Redis
    const slot = await eventually(async () => {
      const held = await limiter.acquire('export', 'ann');
      if (held.decision.decidedBy === 'redis') return held;
      await held.release();
      throw new Error('Redis did not answer within the budget.');
    });
    server.pause();
    try {
      expect(await limiter.consume('api', 'ann')).toMatchObject({ allowed: true, decidedBy: 'local' });
      await expect(limiter.consume('closed', 'ann')).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' });
      await eventually(() => {
        expect(slot.signal.aborted).toBe(true);
      }, roomy);
    } finally {
      server.resume();
    }
    await eventually(async () => {
      expect((await limiter.consume('rate', 'ann')).decidedBy).toBe('redis');
    }, roomy);
  }, 90_000);

  it('fails over, exact calls are charged once each or fail', async () => {
    await using servers = await RedisSentinel.start();
    const { sentinels, masterName } = servers;
    const limiter = await limiterAt({ sentinels: [...sentinels], masterName }, 2_000);
    await limiter.consume('pay', 'ann');
    let admitted = 1;
    let local = 0;
    const stop = new AbortController();
    const paying = (async () => {
      while (!stop.signal.aborted) {
        const { decidedBy } = await limiter.consume('pay', 'ann');
        if (decidedBy === 'redis') admitted += 1;
        else local += 1;
        await new Promise(setImmediate); // What is decided here waits for nothing, and would let nobody else run.
      }
    })();
    await servers.failover();
    await eventually(
      async () => {
        expect((await limiter.consume('rate', 'bob', { cost: 0 })).decidedBy).toBe('redis');
      },
      { within: 30_000 },
    );
    stop.abort();
    await paying;
    const taken = await servers.master.ask((redis) => redis.hvals('test:ratelimit:{ann}:pay:sw-3600000-10'));
    const charged = taken.reduce((sum, units) => sum + Number(units), 0);
    // A call that was decided elsewhere in the end may have been charged first, and one that was charged last may have died with the old master.
    expect(charged).toBeLessThanOrEqual(admitted + local);
    expect(charged).toBeGreaterThan(0);
  }, 150_000);
});

describeOn(standalone)('connections that break all the time', (redis) => {
  it('never charge an exact call twice', async () => {
    await using proxy = await FaultProxy.start(redis.server);
    const app = await startApp({ url: proxy.url }, { policies, budget: '10s' });
    try {
      const limiter = app.get(RateLimitService);
      await limiter.consume('pay', 'warm');
      let injected = 0;
      for (let i = 0; i < 20; i++) {
        const lost = proxy.dropReply('EVALSHA', { thenReset: true });
        expect((await limiter.consume('pay', 'ann')).decidedBy).toBe('redis');
        injected += lost.injected;
        lost.stop();
      }
      expect(injected).toBe(20);
      expect((await limiter.peek('pay', 'ann')).remaining).toBe(1_000 - 20);
    } finally {
      await app.close();
    }
  });
});
