import { getRedisConnectionToken, OptionsError, type RedisConnection } from '@redstart/redis-core';
import { cluster, describeOn, eventually, FaultProxy, standalone } from '@redstart/redis-testing';
import {
  all,
  concurrency,
  createPolicies,
  gcra,
  RateLimitExceededError,
  RateLimitService,
  SlotLostError,
} from '../src/index.js';
import { startApp, type TestApp } from './test-app.js';

const policies = createPolicies({
  export: concurrency({ limit: 2, lease: '30s' }),
  brief: concurrency({ limit: 1, lease: '3s' }),
  report: all(concurrency({ limit: 2, lease: '30s' }), gcra({ rate: 3, per: '1h' })),
  plain: gcra({ rate: 3, per: '1h' }),
});

describeOn(standalone, cluster)('slots', (redis) => {
  let app: TestApp;
  let limiter: RateLimitService;

  beforeEach(async () => {
    app = await startApp(redis.connection, { policies, budget: '5s' });
    limiter = app.get(RateLimitService);
  });
  afterEach(() => app.close());

  it('admit as many as there are, and come back when they are released', async () => {
    const first = await limiter.acquire('export', 'ann');
    const second = await limiter.acquire('export', 'ann');
    expect(second.decision).toMatchObject({ allowed: true, remaining: 0, limit: 2 });
    const denied = await limiter.acquire('export', 'ann').catch((error: unknown) => error);
    expect(denied).toBeInstanceOf(RateLimitExceededError);
    await using other = await limiter.acquire('export', 'bob');
    expect(other.signal.aborted).toBe(false);
    expect(await first.release()).toBe(true);
    expect(await first.release()).toBe(false);
    await using third = await limiter.acquire('export', 'ann');
    expect(third.decision.remaining).toBe(0);
    await second.release();
  });

  it('cost one each, whatever else a call costs', async () => {
    const key = 'test:ratelimit:{free}:brief:slots';
    const slot = await limiter.acquire('brief', 'free', { cost: 0 });
    await expect(limiter.acquire('brief', 'free', { cost: 0 })).rejects.toBeInstanceOf(RateLimitExceededError);
    expect((await limiter.peek('brief', 'free', { cost: 0 })).allowed).toBe(false);
    expect(await redis.client().zcard(key)).toBe(1);
    await slot.release();
    const dear = await limiter.acquire('export', 'free', { cost: 2 });
    expect(dear.decision.remaining).toBe(1);
    await dear.release();
  });

  it('live as long as they are held, however short the lease, and leave nothing behind', async () => {
    const key = 'test:ratelimit:{ann}:brief:slots';
    const slot = await limiter.acquire('brief', 'ann');
    const endsOf = async () => Number((await redis.client().zrange(key, '0', '0', 'WITHSCORES'))[1]);
    const before = await endsOf();
    await eventually(
      async () => {
        expect(await endsOf()).toBeGreaterThan(before + 3_000_000); // A whole lease has passed.
      },
      { within: 15_000 },
    );
    expect(slot.signal.aborted).toBe(false);
    expect(await redis.client().pttl(key)).toBeGreaterThan(0);
    await slot.release();
    expect(await redis.client().exists(key)).toBe(0);
  });

  it('are kept also while the breaker refuses everything else', async () => {
    const breaker = { failures: 1, openFor: '10m' } as const;
    const refused = await startApp({ ...redis.connection, breaker }, { policies, budget: '5s' });
    try {
      const connection = refused.get<RedisConnection>(getRedisConnectionToken());
      await using slot = await refused.get(RateLimitService).acquire('brief', 'kept');
      const endsAt = async () =>
        (await redis.client().zrange('test:ratelimit:{kept}:brief:slots', '0', '0', 'WITHSCORES'))[1];
      const before = await endsAt();
      const call = { library: 'test', operation: 'outage', budgetMs: 1 };
      await connection.call(call, () => new Promise(() => undefined)).catch(() => undefined);
      expect(connection.breakerState).toBe('open');
      await eventually(async () => (await endsAt()) !== before);
      expect(slot.signal.aborted).toBe(false);
    } finally {
      await refused.close();
    }
  });

  it('abort their signal when Redis has forgotten them', async () => {
    const slot = await limiter.acquire('brief', 'lost');
    await redis.client().unlink('test:ratelimit:{lost}:brief:slots');
    await eventually(
      () => {
        expect(slot.signal.reason).toEqual(new SlotLostError('brief', 'gone'));
      },
      { within: 15_000 },
    );
    expect(await slot.release()).toBe(false);
  });

  it('are charged together with the other limits of the policy, or not at all', async () => {
    const held = [await limiter.acquire('report', 'ann'), await limiter.acquire('report', 'ann')];
    await expect(limiter.acquire('report', 'ann')).rejects.toBeInstanceOf(RateLimitExceededError);
    const { limits } = await limiter.peek('report', 'ann');
    expect(limits.map(({ name, remaining }) => [name, remaining])).toEqual([
      ['report/concurrent', 0],
      ['report/1h', 1],
    ]);
    await Promise.all(held.map((slot) => slot.release()));
    await (await limiter.acquire('report', 'ann')).release();
    await expect(limiter.acquire('report', 'ann')).rejects.toBeInstanceOf(RateLimitExceededError);
    expect((await limiter.peek('report', 'ann')).limits[0]?.remaining).toBe(2);
  });

  it('are waited for, first come first served', async () => {
    const first = await limiter.acquire('brief', 'queue');
    const order: number[] = [];
    const waiting = [1, 2, 3].map(async (turn) => {
      const slot = await limiter.acquire('brief', 'queue', { maxWait: '20s' });
      order.push(turn);
      await slot.release();
    });
    await first.release(); // The one that waits first hears of it, without looking again.
    await Promise.all(waiting);
    expect(order).toEqual([1, 2, 3]);
  });

  it('are held while a function runs, which hears of their loss', async () => {
    const seen = await limiter.run('export', 'run', async (signal) => {
      expect((await limiter.peek('export', 'run')).remaining).toBe(1);
      return signal.aborted;
    });
    expect(seen).toBe(false);
    expect((await limiter.peek('export', 'run')).remaining).toBe(2);
    await expect(limiter.run('export', 'run', () => Promise.reject(new Error('its own')))).rejects.toThrow('its own');
    expect((await limiter.peek('export', 'run')).remaining).toBe(2);
  });

  it('are freed when the application shuts down', async () => {
    await limiter.acquire('export', 'shutdown');
    await app.close();
    expect(await redis.client().exists('test:ratelimit:{shutdown}:export:slots')).toBe(0);
  });

  it('belong to acquire and run alone', async () => {
    await expect(limiter.consume('export', 'x')).rejects.toThrow(OptionsError);
    await expect(limiter.wait('export', 'x')).rejects.toThrow('Use acquire or run');
    await expect(limiter.acquire('plain', 'x')).rejects.toThrow('with a concurrency limit');
    await expect(limiter.set('export', 'x', 1)).rejects.toThrow('counts no units');
  });
});

describeOn(standalone)('a slot while the memory of Redis is full', (redis) => {
  it('is renewed and given back all the same', async () => {
    const admin = redis.server.client();
    const app = await startApp(redis.connection, { policies, budget: '5s' });
    try {
      const limiter = app.get(RateLimitService);
      const key = 'test:ratelimit:{full}:brief:slots';
      const slot = await limiter.acquire('brief', 'full');
      const endsOf = async () => Number((await redis.client().zrange(key, '0', '0', 'WITHSCORES'))[1]);
      await admin.config('SET', 'maxmemory', '1');
      const before = await endsOf();
      await eventually(
        async () => {
          expect(await endsOf()).toBeGreaterThan(before);
        },
        { within: 15_000 },
      );
      expect(slot.signal.aborted).toBe(false);
      expect(await slot.release()).toBe(true);
    } finally {
      await admin.config('SET', 'maxmemory', '0');
      await app.close();
    }
  }, 90_000);
});

describeOn(standalone)('a slot while Redis is away', (redis) => {
  it('is lost when its lease has lapsed by the clock of this process, and counted here from then on', async () => {
    await using proxy = await FaultProxy.start(redis.server);
    const app = await startApp({ url: proxy.url }, { policies, budget: '1s' });
    try {
      const limiter = app.get(RateLimitService);
      const slot = await eventually(async () => {
        const held = await limiter.acquire('brief', 'ann');
        if (held.decision.decidedBy === 'redis') return held;
        await held.release();
        throw new Error('Redis did not answer within the budget.');
      });
      using silence = proxy.blackhole();
      await eventually(
        () => {
          expect(slot.signal.reason).toEqual(new SlotLostError('brief', 'expired'));
        },
        { within: 15_000 },
      );
      expect(silence.injected).toBeGreaterThan(0);
      const local = await limiter.acquire('brief', 'ann');
      expect(local.decision.decidedBy).toBe('local');
      await expect(limiter.acquire('brief', 'ann')).rejects.toBeInstanceOf(RateLimitExceededError);
      expect(await local.release()).toBe(true);
      expect(await (await limiter.acquire('brief', 'ann')).release()).toBe(true);
    } finally {
      await app.close();
    }
  }, 90_000);
});
