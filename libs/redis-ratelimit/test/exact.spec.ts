import { describeOn, FaultProxy, standalone } from '@redstart/redis-testing';
import { createPolicies, gcra, RateLimitService, slidingWindow } from '../src/index.js';
import { startApp, type TestApp } from './test-app.js';

const policies = createPolicies({
  pay: slidingWindow({ limit: 5, window: '1h', exact: true, onError: 'closed' }),
  plain: slidingWindow({ limit: 5, window: '1h', onError: 'closed' }),
  rate: gcra({ rate: 5, per: '1h', exact: true }),
});

describeOn(standalone)('a call that is exact', (redis) => {
  let proxy: FaultProxy;
  let app: TestApp;
  let limiter: RateLimitService;

  beforeEach(async () => {
    proxy = await FaultProxy.start(redis.server);
    app = await startApp({ url: proxy.url }, { policies, budget: '15s' });
    limiter = app.get(RateLimitService);
    for (const policy of ['pay', 'plain', 'rate']) await limiter.consume(policy, 'warm');
  });
  afterEach(async () => {
    await app.close();
    await proxy.stop();
  });

  const takenOf = async (key: string) =>
    (await redis.client().hvals(key)).reduce((sum, taken) => sum + Number(taken), 0);

  it('is charged once and answered by Redis when its reply is lost with the connection', async () => {
    const lost = proxy.dropReply('EVALSHA', { thenReset: true });
    const decision = await limiter.consume('pay', 'ann', { cost: 2 });
    expect(lost.injected).toBe(1);
    expect(decision).toMatchObject({ allowed: true, remaining: 3, decidedBy: 'redis' });
    expect(await takenOf('test:ratelimit:{ann}:pay:sw-3600000-10')).toBe(2);
    expect((await limiter.peek('pay', 'ann')).remaining).toBe(3);
    if (decision.receipt === undefined) throw new Error('Nothing was charged.');
    await limiter.refund(decision.receipt);
    expect((await limiter.peek('pay', 'ann')).remaining).toBe(5);
  });

  it('is told the same answer again, a denial as well', async () => {
    await limiter.consume('rate', 'bob', { cost: 5 });
    const lost = proxy.dropReply('EVALSHA', { thenReset: true });
    const denied = await limiter.consume('rate', 'bob');
    expect(lost.injected).toBe(1);
    expect(denied).toMatchObject({ allowed: false, decidedBy: 'redis', remaining: 0 });
  });

  it('leaves its memory with a TTL', async () => {
    await limiter.consume('pay', 'eve');
    const [memory] = await redis.client().keys('test:ratelimit:{eve}:call*');
    const ttl = await redis.client().pttl(memory ?? '');
    expect(ttl).toBeGreaterThan(0);
    expect(ttl).toBeLessThanOrEqual(60_000);
  });

  it('is not what others are: their lost reply is an outage, and their charge stays', async () => {
    const lost = proxy.dropReply('EVALSHA', { thenReset: true });
    await expect(limiter.consume('plain', 'ann')).rejects.toMatchObject({ outcome: 'unknown' });
    expect(lost.injected).toBe(1);
    expect(await takenOf('test:ratelimit:{ann}:plain:sw-3600000-10')).toBe(1);
  });

  it('ends with the budget when nothing helps', async () => {
    const hasty = await startApp({ url: proxy.url }, { policies, budget: '1s' });
    try {
      using silence = proxy.blackhole();
      const started = performance.now();
      await expect(hasty.get(RateLimitService).consume('pay', 'ann')).rejects.toMatchObject({
        code: 'REDIS_UNAVAILABLE',
      });
      expect(performance.now() - started).toBeLessThan(4_000);
      expect(silence.injected).toBeGreaterThan(0);
    } finally {
      await hasty.close();
    }
  });
});
