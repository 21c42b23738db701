import { RedisConnections } from '@redstart/redis-core';
import { describeOn, eventually, FaultProxy, standalone } from '@redstart/redis-testing';
import { createPolicies, gcra, RateLimitService, slidingWindow } from '../src/index.js';
import { DenialCache } from '../src/denials/denial-cache.js';
import { PlanBook } from '../src/deciding/plan.js';
import { compilePolicy } from '../src/policies/policy.js';
import { startApp, type TestApp } from './test-app.js';

const policies = createPolicies({
  api: slidingWindow({ limit: 2, window: '1h' }),
  quick: gcra({ rate: 1, per: '200ms', burst: 1 }),
});

describeOn(standalone)('denials', (redis) => {
  let proxy: FaultProxy;
  let app: TestApp;
  let limiter: RateLimitService;
  let other: TestApp;
  let otherLimiter: RateLimitService;

  beforeEach(async () => {
    proxy = await FaultProxy.start(redis.server);
    app = await startApp({ url: proxy.url }, { policies, budget: '5s' });
    other = await startApp(redis.connection, { policies, budget: '5s' });
    limiter = app.get(RateLimitService);
    otherLimiter = other.get(RateLimitService);
    await listen();
  });
  afterEach(async () => {
    await app.close();
    await other.close();
    await proxy.stop();
  });

  const asked = () => (proxy.commands.get('EVALSHA') ?? 0) + (proxy.commands.get('EVAL') ?? 0);

  /** The first denial makes the process listen; a denial is remembered from then on. */
  async function listen(): Promise<void> {
    await limiter.consume('api', 'warm', { cost: 2 });
    await eventually(async () => {
      await limiter.consume('api', 'warm');
      const before = asked();
      await limiter.consume('api', 'warm');
      expect(asked()).toBe(before);
    });
  }

  async function exhaust(key: string): Promise<void> {
    await limiter.consume('api', key, { cost: 2 });
    expect((await limiter.consume('api', key)).allowed).toBe(false);
  }

  it('are told again without asking Redis, with the time that is left', async () => {
    await exhaust('ann');
    const before = asked();
    const first = await limiter.consume('api', 'ann');
    const second = await limiter.consume('api', 'ann');
    expect(asked()).toBe(before);
    expect(first).toMatchObject({ allowed: false, remaining: 0, decidedBy: 'redis', receipt: undefined });
    expect(second.retryAfterMs).toBeLessThanOrEqual(first.retryAfterMs);
    expect(second.retryAfterMs).toBeGreaterThan(3_500_000);
  });

  it('hold for the same call only: another key, another cost and a look are asked for', async () => {
    await exhaust('ann');
    const before = asked();
    expect((await limiter.consume('api', 'bob')).allowed).toBe(true);
    expect((await limiter.consume('api', 'ann', { cost: 2 })).allowed).toBe(false);
    await limiter.peek('api', 'ann');
    expect(asked()).toBe(before + 3);
  });

  it('end when the call may pass', async () => {
    await limiter.consume('quick', 'ann');
    await eventually(
      async () => {
        expect((await limiter.consume('quick', 'ann')).allowed).toBe(true);
      },
      { every: 1 },
    );
  });

  it.each([
    ['reset', (service: RateLimitService) => service.reset('api', 'ann')],
    ['set', (service: RateLimitService) => service.set('api', 'ann', 0)],
  ])('are forgotten by %s, here at once', async (_, correct) => {
    await exhaust('ann');
    await correct(limiter);
    expect((await limiter.consume('api', 'ann')).allowed).toBe(true);
  });

  it('are forgotten by a refund', async () => {
    const { receipt } = await limiter.consume('api', 'ann');
    if (receipt === undefined) throw new Error('Nothing was charged.');
    await limiter.consume('api', 'ann');
    expect((await limiter.consume('api', 'ann')).allowed).toBe(false);
    await limiter.refund(receipt);
    expect((await limiter.consume('api', 'ann')).allowed).toBe(true);
  });

  it('are forgotten when another process gives units back', async () => {
    await exhaust('ann');
    await otherLimiter.reset('api', 'ann');
    await eventually(async () => {
      expect((await limiter.consume('api', 'ann')).allowed).toBe(true);
    });
  });

  it('are not believed when something was given back while they were on their way', async () => {
    const connection = other.get(RedisConnections).get('default');
    const cache = new DenialCache(connection, { budgetMs: 5_000, maxKeys: 10 });
    const policy = compilePolicy('api', slidingWindow({ limit: 2, window: '1h' }), 'local');
    const plan = new PlanBook().planOf([{ policy, cost: 1 }], true);
    const denied = { allowed: false, blocked: false, remaining: 0, retryUs: 1e9, resetUs: 1e9, mark: 0 };
    const outcome = { atUs: 1, verdicts: [denied] };
    const now = () => connection.clock.now();
    await eventually(() => {
      cache.remember(plan, ['key'], outcome, now(), cache.generation); // It listens from the first one on.
      expect(cache.find(plan, ['key'])).toMatchObject({ verdicts: [{ allowed: false }] });
    });
    const { generation } = cache;
    await cache.forget(['key']);
    cache.remember(plan, ['key'], outcome, now(), generation);
    expect(cache.find(plan, ['key'])).toBeUndefined();
    expect(cache.size).toBe(0);
  });

  it('are forgotten when messages may have been missed', async () => {
    await exhaust('ann');
    await redis.client().flushall();
    expect(proxy.reset().injected).toBeGreaterThan(0);
    // Sooner than a denial ends by itself.
    await eventually(
      async () => {
        expect((await limiter.consume('api', 'ann')).allowed).toBe(true);
      },
      { within: 4_000 },
    );
  });

  it('are not remembered when told not to', async () => {
    const plain = await startApp({ url: proxy.url }, { policies, budget: '5s', deniedKeys: 0 });
    try {
      const service = plain.get(RateLimitService);
      await service.consume('api', 'ann', { cost: 2 });
      for (let i = 0; i < 3; i++) {
        const before = asked();
        await service.consume('api', 'ann');
        expect(asked()).toBe(before + 1);
      }
    } finally {
      await plain.close();
    }
  });
});
