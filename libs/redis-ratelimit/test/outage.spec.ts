import { Controller, Get } from '@nestjs/common';
import { ManualClock, RedisUnavailableError } from '@redstart/redis-core';
import { describeOn, eventually, FaultProxy, standalone } from '@redstart/redis-testing';
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
    // On a busy machine the budget may be too short; whom this process has counted then is another one.
    let tries = 0;
    const key = await eventually(async () => {
      const counted = `ann ${++tries}`;
      expect((await limiter.consume('local', counted)).decidedBy).toBe('redis');
      return counted;
    });
    using silence = proxy.blackhole();
    const started = performance.now();
    const first = await limiter.consume('local', key);
    expect(performance.now() - started).toBeLessThan(4_000); // Before a connection that stays silent is cut.
    expect(first).toMatchObject({ allowed: true, decidedBy: 'local', remaining: 2, receipt: { countedBy: 'local' } });
    const rest = await Promise.all([1, 2, 3].map(() => limiter.consume('local', key)));
    expect(rest.filter(({ allowed }) => allowed)).toHaveLength(2);
    expect(silence.injected).toBeGreaterThan(0);
  });

  it('a call waits for the budget, and not longer', async () => {
    const patientMs = 2_000;
    const patient = await startApp({ url: proxy.url }, { policies, budget: patientMs });
    try {
      const service = patient.get(RateLimitService);
      await service.peek('local', 'warm');
      using silence = proxy.blackhole();
      const started = performance.now();
      expect((await service.consume('local', 'ann')).decidedBy).toBe('local');
      const took = performance.now() - started;
      expect(took).toBeGreaterThanOrEqual(patientMs - 1);
      // Room for a busy machine, and less than twice as long.
      expect(took).toBeLessThan(1.75 * patientMs);
      expect(silence.injected).toBeGreaterThan(0);
    } finally {
      await patient.close();
    }
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

  it('a local policy goes on refusing whom this process has blocked, and counts what it has set, until it is told otherwise', async () => {
    // On a busy machine the budget may be too short for one of them.
    await eventually(() => limiter.block('local', 'bad', '1h'));
    await eventually(() => limiter.set('local', 'moved', 2));
    await eventually(() => limiter.block('local', 'pardoned', '1h'));
    await eventually(() => limiter.reset('local', 'pardoned').then(() => undefined));
    using silence = proxy.blackhole();
    expect(await limiter.consume('local', 'bad')).toMatchObject({
      allowed: false,
      decidedBy: 'local',
      limits: [{ blocked: true }],
    });
    expect(await limiter.consume('local', 'moved')).toMatchObject({ allowed: true, remaining: 0 });
    expect(await limiter.consume('local', 'pardoned')).toMatchObject({ allowed: true, remaining: 2 });
    expect(silence.injected).toBeGreaterThan(0);
  });

  it('a local policy whose limit changes admits no more than the difference', async () => {
    using silence = proxy.blackhole();
    for (let i = 0; i < 4; i++) await limiter.consume('local', 'ann');
    const { local } = policies;
    limiter.redefine('local', slidingWindow({ limit: 4, window: '1h' }));
    const allowed = [await limiter.consume('local', 'ann'), await limiter.consume('local', 'ann')];
    limiter.redefine('local', local);
    expect(allowed.map((decision) => decision.allowed)).toEqual([true, false]);
    expect(silence.injected).toBeGreaterThan(0);
  });

  it('a refund that surely did not happen may be tried again, one that may have happened not', async () => {
    // With time enough: Redis refuses, or the connection is reset, and that is what ends the calls.
    const patient = await startApp({ url: proxy.url }, { policies, budget: '10s' });
    try {
      const service = patient.get(RateLimitService);
      const first = await service.consume('local', 'refund', { cost: 2 });
      if (first.receipt === undefined) throw new Error('Nothing was charged.');
      await redis.server.client().config('SET', 'min-replicas-to-write', '1');
      await expect(service.refund(first.receipt)).rejects.toMatchObject({ outcome: 'not-executed' });
      await redis.server.client().config('SET', 'min-replicas-to-write', '0');
      expect(await service.refund(first.receipt)).toBe(true);
      const second = await service.consume('local', 'refund', { cost: 2 });
      if (second.receipt === undefined) throw new Error('Nothing was charged.');
      using lost = proxy.dropReply('EVALSHA', { thenReset: true });
      await expect(service.refund(second.receipt)).rejects.toMatchObject({ outcome: 'unknown' });
      expect(lost.injected).toBe(1);
      expect(await service.refund(second.receipt)).toBe(false);
    } finally {
      await redis.server.client().config('SET', 'min-replicas-to-write', '0');
      await patient.close();
    }
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
