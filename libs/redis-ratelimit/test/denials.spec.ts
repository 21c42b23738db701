import { RedisConnections, type Key } from '@redstart/redis-core';
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

  it('are forgotten by a penalty, here and elsewhere: they tell what was left before', async () => {
    await limiter.consume('api', 'ann');
    for (const service of [limiter, otherLimiter]) {
      await limiter.reset('api', 'ann');
      await limiter.consume('api', 'ann');
      await eventually(async () => {
        const before = asked();
        expect(await limiter.consume('api', 'ann', { cost: 2 })).toMatchObject({ allowed: false, remaining: 1 });
        expect(asked()).toBe(before);
      });
      await service.penalize('api', 'ann');
      await eventually(async () => {
        expect(await limiter.consume('api', 'ann', { cost: 2 })).toMatchObject({ allowed: false, remaining: 0 });
      });
    }
  });

  it('are forgotten by a block, here and elsewhere: it may be shorter than the one that is remembered', async () => {
    await limiter.block('api', 'ann', '1h');
    for (const service of [limiter, otherLimiter]) {
      await eventually(async () => {
        const before = asked();
        expect((await limiter.consume('api', 'ann')).allowed).toBe(false);
        expect(asked()).toBe(before);
      });
      await service.block('api', 'ann', 1);
      await eventually(
        async () => {
          expect(await limiter.consume('api', 'ann')).toMatchObject({ allowed: true });
        },
        { within: 4_000 },
      );
      await limiter.block('api', 'ann', '1h');
    }
  });

  it('are forgotten by a refund', async () => {
    const { receipt } = await limiter.consume('api', 'ann');
    if (receipt === undefined) throw new Error('Nothing was charged.');
    await limiter.consume('api', 'ann');
    expect((await limiter.consume('api', 'ann')).allowed).toBe(false);
    await limiter.refund(receipt);
    expect((await limiter.consume('api', 'ann')).allowed).toBe(true);
  });

  it('are of one subject alone, whatever others are written like, and whatever becomes of a list', async () => {
    const told = async (...subjects: Key[]) =>
      (await limiter.check(subjects.map((key) => ({ policy: 'api', key })))).at(-1)?.allowed;
    await limiter.consume('api', ['a%', 'b'], { cost: 2 });
    expect(await told(['a%', 'b'])).toBe(false);
    expect(await told('a%25:b')).toBe(true); // What the list looks like in its key.
    const list: (string | number)[] = ['tenant', 1];
    await limiter.consume('api', list, { cost: 2 });
    const before = asked();
    expect([await told('all', list), await told('all', list), asked()]).toEqual([false, false, before + 1]);
    list[1] = 2;
    expect(await told('all', list)).toBe(true);
    list[1] = 1;
    expect([await told('all', list), asked()]).toEqual([false, before + 2]);
  });

  it('are forgotten when another process gives units back', async () => {
    await exhaust('ann');
    await otherLimiter.reset('api', 'ann');
    await eventually(async () => {
      expect((await limiter.consume('api', 'ann')).allowed).toBe(true);
    });
  });

  it('are forgotten when a process gives units back that remembers none itself', async () => {
    const plain = await startApp(redis.connection, { policies, budget: '5s', deniedKeys: 0 });
    try {
      await exhaust('ann');
      await plain.get(RateLimitService).reset('api', 'ann');
      await eventually(
        async () => {
          expect((await limiter.consume('api', 'ann')).allowed).toBe(true);
        },
        { within: 4_000 },
      );
    } finally {
      await plain.close();
    }
  });

  it('do not stand in the way of corrections where the channel is forbidden', async () => {
    await redis.server.client().acl('SETUSER', 'quiet', 'on', '>secret', '~*', '+@all', 'resetchannels');
    const url = new URL(redis.server.url);
    url.username = 'quiet';
    url.password = 'secret';
    const quiet = await startApp({ url: url.href }, { policies, budget: '5s' });
    try {
      const service = quiet.get(RateLimitService);
      const { receipt } = await service.consume('api', 'ann');
      if (receipt === undefined) throw new Error('Nothing was charged.');
      expect(await service.refund(receipt)).toBe(true);
      await service.set('api', 'ann', 1);
      await service.penalize('api', 'ann');
      await service.block('api', 'ann', '1h');
      expect(await service.reset('api', 'ann')).toBe(true);
      expect((await service.consume('api', 'ann')).allowed).toBe(true);
    } finally {
      await quiet.close();
    }
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
      cache.remember(plan, [{ subject: 'ann' }], ['key'], outcome, now(), cache.generation); // It listens from the first one on.
      expect(cache.find(plan, [{ subject: 'ann' }])).toMatchObject({ verdicts: [{ allowed: false }] });
    });
    const { generation } = cache;
    await cache.forget(['key']);
    cache.remember(plan, [{ subject: 'ann' }], ['key'], outcome, now(), generation);
    expect(cache.find(plan, [{ subject: 'ann' }])).toBeUndefined();
    expect(cache.size).toBe(0);
  });

  describe('of a cache', () => {
    const policy = compilePolicy('api', slidingWindow({ limit: 2, window: '1h' }), 'local');
    const plan = new PlanBook().planOf([{ policy, cost: 1 }], true);
    const both = new PlanBook().planOf(
      [
        { policy, cost: 1 },
        { policy, cost: 1 },
      ],
      true,
    );
    const denied = { allowed: false, blocked: false, remaining: 0, retryUs: 1e9, resetUs: 1e9, mark: 0 };

    async function listening(maxKeys: number) {
      const connection = other.get(RedisConnections).get('default');
      const cache = new DenialCache(connection, { budgetMs: 5_000, maxKeys });
      const remember = (subject: string, generation = cache.generation) => {
        cache.remember(plan, [{ subject }], [`key ${subject}`], outcomeOf(1), connection.clock.now(), generation);
      };
      const isKnown = (subject: string) => cache.find(plan, [{ subject }]) !== undefined;
      await eventually(() => {
        remember('warm');
        expect(isKnown('warm')).toBe(true);
      });
      return { cache, remember, isKnown, now: () => connection.clock.now() };
    }

    const outcomeOf = (rows: number) => ({ atUs: 1, verdicts: Array.from({ length: rows }, () => denied) });

    it('are believed although others were forgotten while they were on their way', async () => {
      const { cache, remember, isKnown } = await listening(10);
      const { generation } = cache;
      await cache.forget(['key bob']);
      remember('ann', generation);
      remember('bob', generation);
      expect([isKnown('ann'), isKnown('bob')]).toEqual([true, false]);
      remember('bob');
      expect(isKnown('bob')).toBe(true);
    });

    it('are not believed when more was forgotten meanwhile than is remembered of that', async () => {
      const { cache, remember, isKnown } = await listening(10);
      const { generation } = cache;
      await cache.forget(['key bob']);
      await cache.forget(Array.from({ length: 1_000 }, (_, index) => `key ${index}`));
      remember('bob', generation);
      expect(isKnown('bob')).toBe(false);
      remember('bob');
      expect(isKnown('bob')).toBe(true);
    });

    it('are believed for 5 s at most, however long the wait is', async () => {
      const { cache, isKnown, now } = await listening(10);
      const askedBefore = (subject: string, ms: number) => {
        cache.remember(plan, [{ subject }], [`key ${subject}`], outcomeOf(1), now() - ms, cache.generation);
      };
      askedBefore('ann', 5_001);
      askedBefore('bob', 1_000);
      expect([isKnown('ann'), isKnown('bob')]).toEqual([false, true]);
    });

    it('end with any of their keys, whatever became of others with it', async () => {
      const { cache, remember, isKnown, now } = await listening(10);
      const together = ['ann', 'bob'].map((subject) => ({ subject }));
      const isKnownTogether = () => cache.find(both, together) !== undefined;
      const rememberTogether = () => {
        cache.remember(both, together, ['key ann', 'key bob'], outcomeOf(2), now(), cache.generation);
      };
      for (const key of ['key ann', 'key bob']) {
        rememberTogether();
        remember('bob');
        await cache.forget([key]);
        expect([isKnownTogether(), isKnown('bob'), isKnown('warm')]).toEqual([false, key === 'key ann', true]);
      }
    });

    it('are found again by their keys after others had to go, and cost as much to forget however many there are', async () => {
      const { cache, remember, isKnown } = await listening(10_000);
      for (let i = 0; i < 12_000; i++) remember(`${i}`);
      expect(cache.size).toBe(10_000);
      expect([isKnown('warm'), isKnown('1999'), isKnown('2000')]).toEqual([false, false, true]);
      // First of all, since what is remembered ends after 5 s.
      await cache.forget(['key 2000', 'key 1999']);
      expect([isKnown('2000'), isKnown('2001'), cache.size]).toEqual([false, true, 9_999]);
      const before = process.cpuUsage();
      const forgotten = Array.from({ length: 20 }, (_, round) =>
        cache.forget(Array.from({ length: 1_000 }, (__, index) => `elsewhere ${round} ${index}`)),
      );
      await Promise.all(forgotten);
      // Looking through all of them each time takes hundred times as long.
      expect(process.cpuUsage(before).user).toBeLessThan(2_000_000);
    });
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
