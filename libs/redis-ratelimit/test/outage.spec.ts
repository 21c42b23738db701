import { Controller, Get } from '@nestjs/common';
import { ManualClock, RedisUnavailableError } from '@redstart/redis-core';
import { describeOn, FaultProxy, standalone } from '@redstart/redis-testing';
import { by, createPolicies, RateLimit, RateLimitService, slidingWindow } from '../src/index.js';
import { LocalLimiter } from '../src/local/local-limiter.js';
import { startApp, type TestApp } from './test-app.js';

const policies = createPolicies({
  local: slidingWindow({ limit: 3, window: '1h' }),
  open: slidingWindow({ limit: 3, window: '1h', onError: 'open' }),
  closed: slidingWindow({ limit: 3, window: '1h', onError: 'closed' }),
});

@Controller()
class OutageController {
  @RateLimit('closed', { key: by.ip() })
  @Get('closed')
  closed() {
    return 'closed';
  }

  @RateLimit('open', { key: by.ip() })
  @Get('open')
  open() {
    return 'open';
  }
}

const budgetMs = 100;

describeOn(standalone)('while Redis does not answer', (redis) => {
  let proxy: FaultProxy;
  let app: TestApp;
  let limiter: RateLimitService;

  beforeEach(async () => {
    proxy = await FaultProxy.start(redis.server);
    app = await startApp({ url: proxy.url }, { policies, budget: budgetMs }, { controllers: [OutageController] });
    limiter = app.get(RateLimitService);
  });
  afterEach(async () => {
    await app.close();
    await proxy.stop();
  });

  it('a local policy counts in this process, within the budget and with the same limit', async () => {
    expect((await limiter.consume('local', 'ann')).decidedBy).toBe('redis');
    using silence = proxy.blackhole();
    const started = performance.now();
    const first = await limiter.consume('local', 'ann');
    expect(performance.now() - started).toBeLessThan(budgetMs * 5);
    expect(first).toMatchObject({ allowed: true, decidedBy: 'local', remaining: 2, receipt: { countedBy: 'local' } });
    const rest = await Promise.all([1, 2, 3].map(() => limiter.consume('local', 'ann')));
    expect(rest.filter(({ allowed }) => allowed)).toHaveLength(2);
    expect(silence.injected).toBeGreaterThan(0);
  });

  it('a local policy takes back what it has counted itself', async () => {
    using silence = proxy.blackhole();
    const { receipt } = await limiter.consume('local', 'bob', { cost: 3 });
    if (receipt === undefined) throw new Error('Nothing was charged.');
    expect((await limiter.consume('local', 'bob')).allowed).toBe(false);
    expect(await limiter.refund(receipt)).toBe(true);
    expect(await limiter.refund(receipt)).toBe(false);
    expect(await limiter.consume('local', 'bob')).toMatchObject({ allowed: true, remaining: 2 });
    expect(await limiter.refund(structuredClone(receipt))).toBe(true);
    expect((await limiter.consume('local', 'bob')).remaining).toBe(2); // No more than there was.
    expect(silence.injected).toBeGreaterThan(0);
  });

  it('an open policy allows everything, and a closed one fails', async () => {
    using silence = proxy.blackhole();
    for (let i = 0; i < 4; i++) {
      expect(await limiter.consume('open', 'ann')).toMatchObject({ allowed: true, decidedBy: 'open', remaining: 3 });
    }
    await expect(limiter.consume('closed', 'ann')).rejects.toBeInstanceOf(RedisUnavailableError);
    await expect(
      limiter.check([
        { policy: 'open', key: 'ann' },
        { policy: 'closed', key: 'ann' },
      ]),
    ).rejects.toBeInstanceOf(RedisUnavailableError);
    expect(silence.injected).toBeGreaterThan(0);
  });

  it('routes answer 503 or go on without fields', async () => {
    await app.listen(0, '127.0.0.1');
    const url = await app.getUrl();
    using silence = proxy.blackhole();
    const closed = await fetch(`${url}/closed`);
    expect([closed.status, closed.headers.get('retry-after')]).toEqual([503, '1']);
    const open = await fetch(`${url}/open`);
    expect([open.status, open.headers.get('ratelimit')]).toEqual([200, null]);
    expect(silence.injected).toBeGreaterThan(0);
  });

  it('a lost reply charges at most once in Redis', async () => {
    // With time enough: the connection is reset, and that is what ends the call.
    const patient = await startApp({ url: proxy.url }, { policies, budget: '10s' });
    const patientLimiter = patient.get(RateLimitService);
    await patientLimiter.consume('local', 'warm');
    const lost = proxy.dropReply('EVALSHA', { thenReset: true });
    expect((await patientLimiter.consume('local', 'bob')).decidedBy).toBe('local');
    await patient.close();
    expect(lost.injected).toBe(1);
    const taken = await redis.client().hvals('test:ratelimit:{bob}:local:sw-3600000-10');
    expect(taken).toEqual(['1']);
  });
});

describe('the local limiter', () => {
  const windows = [1, 2, 3].map((limit) => slidingWindow({ limit, window: '10s' }));
  const charge = (key: string, limit = 2) => {
    const window = windows.find((candidate) => candidate.limit === limit);
    if (window === undefined) throw new Error('no such window');
    return { key, limit: window, cost: 1, enforce: true, blockMs: 0 };
  };

  it('follows the window, all or none', () => {
    const clock = new ManualClock(20_000);
    const local = new LocalLimiter(10, clock);
    const both = () => local.decide([charge('a', 2), charge('b', 3)], true).verdicts.map(({ allowed }) => allowed);
    expect([both(), both(), both()]).toEqual([
      [true, true],
      [true, true],
      [false, true],
    ]);
    expect(local.decide([charge('b', 3)], false).verdicts[0]?.remaining).toBe(1);
    clock.advance(10_999);
    expect(both()).toEqual([false, true]);
    clock.advance(1);
    expect(both()).toEqual([true, true]);
  });

  it('remembers no more keys than it may, and forgets the one unused for longest', () => {
    const local = new LocalLimiter(2, new ManualClock());
    local.decide([charge('a', 1)], true);
    local.decide([charge('b', 1)], true);
    local.decide([charge('a', 1)], true); // denied, but used
    local.decide([charge('c', 1)], true);
    expect(local.size).toBe(2);
    expect(local.decide([charge('a', 1)], true).verdicts[0]?.allowed).toBe(false);
    expect(local.decide([charge('b', 1)], true).verdicts[0]?.allowed).toBe(true);
  });
});
