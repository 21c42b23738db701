import { describeOn, eventually, FaultProxy, standalone } from '@redstart/redis-testing';
import {
  createPolicies,
  dynamic,
  gcra,
  onRateLimitEvent,
  RateLimitService,
  slidingWindow,
  type RateLimitEvent,
  type Policies,
  type StaticPolicy,
} from '../src/index.js';
import { startApp, type TestApp } from './test-app.js';

describeOn(standalone)('dynamic limits', (redis) => {
  let app: TestApp;
  let limiter: RateLimitService;
  let limits: Record<string, StaticPolicy>;
  let asked: unknown[];
  let outage: Error | undefined;
  let policies: Policies;

  beforeEach(async () => {
    asked = [];
    outage = undefined;
    limits = { 'tenant:free': gcra({ rate: 2, per: '1h' }), 'tenant:paid': gcra({ rate: 10, per: '1h' }) };
    const plan = dynamic(
      async (key) => {
        asked.push(key);
        await new Promise(setImmediate);
        if (outage !== undefined) throw outage;
        return limits[[key].flat().join(':')] ?? gcra({ rate: 1, per: '1h' });
      },
      { cache: '1h' },
    );
    const fresh = dynamic(
      (key) => {
        asked.push(key);
        if (outage !== undefined) throw outage;
        return limits['tenant:free'] ?? gcra({ rate: 1, per: '1h' });
      },
      { cache: 0 },
    );
    const nothing = dynamic(() => ({ limit: 5 }) as unknown as StaticPolicy);
    policies = createPolicies({ plan, fresh, nothing, fixed: slidingWindow({ limit: 2, window: '1h' }) });
    app = await startApp(redis.connection, { policies, budget: '5s' });
    limiter = app.get(RateLimitService);
  });
  afterEach(() => app.close());

  it('are asked for once per key, however many calls come', async () => {
    const decisions = await Promise.all([
      ...[1, 2, 3].map(() => limiter.consume('plan', ['tenant', 'free'])),
      limiter.consume('plan', ['tenant', 'paid']),
    ]);
    expect(decisions.map(({ allowed, limit }) => [allowed, limit])).toEqual([
      [true, 2],
      [true, 2],
      [false, 2],
      [true, 10],
    ]);
    expect(asked).toEqual([
      ['tenant', 'free'],
      ['tenant', 'paid'],
    ]);
  });

  it('change at once when refreshed, for what has been counted already', async () => {
    await limiter.consume('plan', 'tenant:free', { cost: 2 });
    limits['tenant:free'] = gcra({ rate: 2, per: '1h', burst: 6 });
    expect((await limiter.consume('plan', 'tenant:free')).allowed).toBe(false);
    await limiter.refresh('plan', 'tenant:free');
    expect(await limiter.consume('plan', 'tenant:free')).toMatchObject({ allowed: true, limit: 6, remaining: 3 });
  });

  it('change at once in other processes, too: for one key, or for all', async () => {
    const otherApp = await startApp(redis.connection, { policies: createPolicies(policies), budget: '5s' });
    try {
      const other = otherApp.get(RateLimitService);
      const limitsNow = async () => {
        const told = await Promise.all(['tenant:free', 'tenant:paid'].map((key) => other.peek('plan', key)));
        return told.map(({ limit }) => limit);
      };
      expect(await limitsNow()).toEqual([2, 10]);
      let rate = 20;
      // From some time on it listens, and then only that key is asked about again.
      await eventually(async () => {
        rate += 2;
        limits['tenant:free'] = gcra({ rate, per: '1h' });
        limits['tenant:paid'] = gcra({ rate: rate + 1, per: '1h' });
        await limiter.refresh('plan', ['tenant', 'free']);
        await eventually(async () => {
          expect((await limitsNow())[0]).toBe(rate);
        });
        expect((await limitsNow())[1]).toBeLessThan(rate);
      });
      await limiter.refresh('plan');
      await eventually(async () => {
        expect(await limitsNow()).toEqual([rate, rate + 1]);
      });
    } finally {
      await otherApp.close();
    }
  });

  it('are asked for again when a process may have missed that they have changed', async () => {
    await using proxy = await FaultProxy.start(redis.server);
    const farApp = await startApp({ url: proxy.url }, { policies: createPolicies(policies), budget: '5s' });
    try {
      const far = farApp.get(RateLimitService);
      const change = async (rate: number) => {
        limits['tenant:free'] = gcra({ rate, per: '1h' });
        await limiter.refresh('plan');
      };
      await far.peek('plan', 'tenant:free');
      await change(3);
      await eventually(async () => {
        expect((await far.peek('plan', 'tenant:free')).limit).toBe(3);
      });
      limits['tenant:free'] = gcra({ rate: 7, per: '1h' });
      expect((await far.peek('plan', 'tenant:free')).limit).toBe(3);
      expect(proxy.reset().injected).toBeGreaterThan(0);
      await eventually(async () => {
        expect((await far.peek('plan', 'tenant:free')).limit).toBe(7);
      });
    } finally {
      await farApp.close();
    }
  });

  it('are asked for again when they change while they are being asked for', async () => {
    let answer: (policy: StaticPolicy) => void = () => undefined;
    const slow = dynamic(() => new Promise<StaticPolicy>((resolve) => (answer = resolve)), { cache: '1h' });
    const slowApp = await startApp(redis.connection, { policies: createPolicies({ slow }), budget: '5s' });
    try {
      const service = slowApp.get(RateLimitService);
      const before = service.peek('slow', 'ann');
      const answerBefore = answer;
      await service.refresh('slow', 'ann');
      const after = service.peek('slow', 'ann');
      answer(gcra({ rate: 9, per: '1h' }));
      answerBefore(gcra({ rate: 8, per: '1h' }));
      expect((await before).limit).toBe(8);
      expect((await after).limit).toBe(9);
      expect((await service.peek('slow', 'ann')).limit).toBe(9);
    } finally {
      await slowApp.close();
    }
  });

  it('hold on while they cannot be asked for, and fail where they are not known yet', async () => {
    await limiter.consume('fresh', 'ann');
    outage = new Error('the database is away');
    expect(await limiter.consume('fresh', 'ann')).toMatchObject({ allowed: true, limit: 2 });
    expect(asked).toHaveLength(2);
    await expect(limiter.consume('fresh', 'new')).rejects.toThrow('the database is away');
    outage = undefined;
    expect((await limiter.consume('fresh', 'new')).allowed).toBe(true);
    await expect(limiter.consume('nothing', 'x')).rejects.toThrow('policies.nothing');
  });

  it('of a name may be put in the place of others, at once', async () => {
    await limiter.consume('fixed', 'ann', { cost: 2 });
    await eventually(async () => {
      expect((await limiter.consume('fixed', 'ann')).allowed).toBe(false);
    });
    limiter.redefine('fixed', slidingWindow({ limit: 5, window: '1h' }));
    expect(await limiter.consume('fixed', 'ann')).toMatchObject({ allowed: true, limit: 5, remaining: 2 });
    limiter.redefine('fixed', slidingWindow({ limit: 1, window: '1h' }));
    expect(await limiter.consume('fixed', 'ann')).toMatchObject({ allowed: false, remaining: 0 });
    expect(() => {
      limiter.redefine('none', slidingWindow({ limit: 1, window: '1h' }));
    }).toThrow('none');
  });
});

describeOn(standalone)('what is told', (redis) => {
  const policies = createPolicies({
    api: slidingWindow({ limit: 5, window: '1h' }),
    ban: slidingWindow({ limit: 1, window: '1h', block: '2h' }),
    shadow: slidingWindow({ limit: 1, window: '1h', enforce: false }),
  });

  it('counts every outcome by policy, and names no key', async () => {
    const app = await startApp(redis.connection, { policies, budget: '5s' });
    const events: RateLimitEvent[] = [];
    const stop = onRateLimitEvent((event) => events.push(event));
    try {
      const limiter = app.get(RateLimitService);
      const { receipt } = await limiter.consume('api', 'secret');
      await limiter.consume('api', 'secret', { cost: 3 });
      await limiter.consume('api', 'secret', { cost: 2 });
      await limiter.consume('ban', 'secret');
      await limiter.check([
        { policy: 'ban', key: 'secret' },
        { policy: 'api', key: 'secret' },
      ]);
      await limiter.consume('shadow', 'secret', { cost: 1 });
      await limiter.consume('shadow', 'secret', { cost: 1 });
      await limiter.peek('api', 'secret');
      if (receipt !== undefined) await limiter.refund(receipt);
      expect(limiter.stats()).toEqual({
        api: counted({ allowed: 2, nearLimit: 1, denied: 1, spared: 1, refunded: 1 }),
        ban: counted({ allowed: 1, nearLimit: 1, denied: 1 }),
        shadow: counted({ allowed: 2, nearLimit: 1, wouldDeny: 1 }),
      });
      const told = events.map(({ policy, event, ...rest }) => [policy, event, 'blocked' in rest && rest.blocked]);
      expect(told).toEqual([
        ['api', 'allowed', false],
        ['api', 'allowed', false],
        ['api', 'denied', false],
        ['ban', 'allowed', false],
        ['ban', 'denied', true],
        ['api', 'spared', false],
        ['shadow', 'allowed', false],
        ['shadow', 'denied', false],
        ['api', 'refunded', false],
      ]);
      expect(events[0]).toEqual({
        module: 'default',
        connection: 'default',
        policy: 'api',
        event: 'allowed',
        decidedBy: 'redis',
        nearLimit: false,
      });
      expect(JSON.stringify([events, limiter.stats()])).not.toContain('secret');
    } finally {
      stop();
      await app.close();
    }
  });

  function counted(counts: object) {
    const none = {
      allowed: 0,
      nearLimit: 0,
      denied: 0,
      remembered: 0,
      wouldDeny: 0,
      spared: 0,
      fallback: 0,
      failed: 0,
    };
    return { ...none, refunded: 0, ...counts };
  }
});
