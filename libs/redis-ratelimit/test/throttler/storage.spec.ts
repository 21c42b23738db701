import { setTimeout as sleep } from 'node:timers/promises';
import { Test } from '@nestjs/testing';
import { InvalidKeyError, OptionsError, RedisModule } from '@redstart/redis-core';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import {
  getRateLimitToken,
  getThrottlerStorageToken,
  RateLimitService,
  RedisRateLimitModule,
  RedisThrottlerStorage,
} from '../../src/index.js';
import { silent, startApp, type TestApp } from '../test-app.js';

const minute = 60_000;

describeOn(standalone, cluster)('RedisThrottlerStorage', (redis) => {
  let app: TestApp;
  let storage: RedisThrottlerStorage;
  let edge: RedisThrottlerStorage;

  beforeAll(async () => {
    app = await startApp(
      redis.connection,
      { budget: '10s' },
      {
        imports: [
          RedisModule.forRoot({ name: 'edge', namespace: 'test', ...redis.connection }),
          RedisRateLimitModule.forRoot({ name: 'edge', connection: 'edge', budget: '10s' }),
        ],
      },
    );
    storage = app.get(RedisThrottlerStorage);
    edge = app.get<RedisThrottlerStorage>(getThrottlerStorageToken('edge'));
  });
  afterAll(() => app.close());

  it('counts up to the limit, denies the next hit, and says until when', async () => {
    const first = await storage.increment('ann', minute, 2, minute, 'default');
    expect(first).toEqual({ totalHits: 1, timeToExpire: 60, isBlocked: false, timeToBlockExpire: 0 });
    expect(await storage.increment('ann', minute, 2, minute, 'default')).toMatchObject({
      totalHits: 2,
      isBlocked: false,
    });
    const denied = await storage.increment('ann', minute, 2, 2 * minute, 'default');
    expect(denied).toEqual({ totalHits: 3, timeToExpire: 120, isBlocked: true, timeToBlockExpire: 120 });
    expect(await storage.increment('bob', minute, 2, minute, 'default')).toMatchObject({ totalHits: 1 });
    expect(await storage.increment('ann', minute, 2, minute, 'burst')).toMatchObject({ totalHits: 1 });
  });

  it('denies with a blockDuration of 0 until the window has room again', async () => {
    const client = redis.client();
    const hit = () => storage.increment('zero', minute, 2, 0, 'default');
    const hits = 'test:throttler:{default:zero}:hits';
    await hit();
    await hit();
    const denied = await hit();
    expect(denied).toMatchObject({ totalHits: 3, isBlocked: true });
    expect(denied.timeToBlockExpire).toBeGreaterThan(40);
    expect(denied.timeToBlockExpire).toBeLessThanOrEqual(60);
    expect(await client.exists('test:throttler:{default:zero}:block')).toBe(0);
    const [oldest] = await client.lrange(hits, 0, 0);
    await client.lset(hits, 0, String(Number(oldest) - minute * 1_000)); // a minute has passed for it
    expect(await hit()).toMatchObject({ totalHits: 2, isBlocked: false });
    expect(await hit()).toMatchObject({ isBlocked: true });
  });

  it('rounds seconds up, so that nobody who waits them comes too early', async () => {
    const first = await storage.increment('short', 250, 1, 1_250, 'default');
    expect(first.timeToExpire).toBe(1);
    const blocked = await storage.increment('short', minute, 0, 1_250, 'other');
    expect(blocked.timeToBlockExpire).toBe(2);
    await storage.increment('long', 61_500, 1, 0, 'default');
    const denied = await storage.increment('long', 61_500, 1, 0, 'default');
    const left = await redis.client().pttl('test:throttler:{default:long}:hits');
    expect(denied.timeToBlockExpire * 1_000).toBeGreaterThanOrEqual(left - 1);
  });

  it('serves a client that never stops asking the limit of every window, again and again', async () => {
    for (const [name, blockMs] of [
      ['blocked', 200],
      ['not blocked', 0],
    ] as const) {
      let served = 0;
      const began = performance.now();
      // 5 windows of 5. Were hits while blocked to count, none would follow the first.
      while (served < 25 && performance.now() - began < 15_000) {
        if (!(await storage.increment(name, 200, 5, blockMs, 'default')).isBlocked) served++;
        await sleep(10);
      }
      expect([name, served]).toEqual([name, 25]);
      // From one hit to the fifth after it a whole window passes.
      expect(performance.now() - began).toBeGreaterThan(4 * 200);
    }
  });

  it('admits exactly the limit of 200 parallel hits over two connections', async () => {
    for (const blockMs of [minute, 0]) {
      const records = await Promise.all(
        Array.from({ length: 200 }, (_, index) =>
          (index % 2 === 0 ? storage : edge).increment(`crowd-${blockMs}`, minute, 70, blockMs, 'default'),
        ),
      );
      const served = records.filter(({ isBlocked }) => !isBlocked).map(({ totalHits }) => totalHits);
      expect(served.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 70 }, (_, index) => index + 1));
    }
  });

  it('takes every number that a route may compute', async () => {
    const increment = (key: string, ttl: number, limit: number, block: number) =>
      storage.increment(key, ttl, limit, block, 'default');
    expect(await increment('fraction', 0.4, 1.9, 0.5)).toMatchObject({ totalHits: 1, timeToExpire: 1 });
    for (const limit of [0, -1, 0.5]) {
      const denied = await increment(`limit ${limit}`, minute, limit, 0);
      expect(denied).toEqual({ totalHits: 1, timeToExpire: 60, isBlocked: true, timeToBlockExpire: 60 });
    }
    for (const ttl of [0, -5]) {
      for (let i = 0; i < 3; i++) {
        expect(await increment(`ttl ${ttl}`, ttl, 1, 0)).toMatchObject({ totalHits: 1, timeToExpire: 0 });
      }
    }
    expect(await increment('nothing', 0, 0, 0)).toMatchObject({ isBlocked: true, timeToBlockExpire: 1 });
    await increment('negative', minute, 1, -1);
    expect(await increment('negative', minute, 1, -1)).toMatchObject({ isBlocked: true });
    expect(await increment('for ever', Infinity, 0, Infinity)).toMatchObject({ isBlocked: true });
    expect(await redis.client().pttl('test:throttler:{default:for ever}:block')).toBeGreaterThan(10 ** 12);
    expect(await increment('large', minute, Number.MAX_VALUE, 0)).toMatchObject({ totalHits: 1, isBlocked: false });
    const unlimited = { totalHits: 1, timeToExpire: 60, isBlocked: false, timeToBlockExpire: 0 };
    expect(await increment('unlimited', minute, Infinity, 0)).toEqual(unlimited);
    expect(await redis.client().exists('test:throttler:{default:unlimited}:hits')).toBe(0);
    for (const wrong of [() => increment('a', NaN, 1, 1), () => increment('a', 1, NaN, 1)]) {
      await expect(wrong()).rejects.toBeInstanceOf(OptionsError);
    }
  });

  it('takes any key, and keeps them apart', async () => {
    const keys = ['a}{b', 'a\r\nb', 'x'.repeat(1_000_000), `${'x'.repeat(1_000_000)}y`, 'n:k', 'ключ'];
    for (const key of keys) {
      expect(await storage.increment(key, minute, 1, 0, 'n')).toMatchObject({ totalHits: 1 });
      expect(await storage.increment(key, minute, 1, 0, 'n')).toMatchObject({ isBlocked: true });
    }
    expect(await storage.increment('k', minute, 1, 0, 'n:n')).toMatchObject({ totalHits: 1 });
    await expect(storage.increment('\ud800', minute, 1, 0, 'n')).rejects.toBeInstanceOf(InvalidKeyError);
  });

  it('survives SCRIPT FLUSH', async () => {
    await storage.increment('flushed', minute, 5, 0, 'default');
    const client = redis.client();
    await ('nodes' in client
      ? Promise.all(client.nodes('master').map((node) => node.script('FLUSH')))
      : client.script('FLUSH'));
    expect(await storage.increment('flushed', minute, 5, 0, 'default')).toMatchObject({ totalHits: 2 });
  });

  it('passes on what is no outage: another type at the key', async () => {
    await redis.client().set('test:throttler:{default:odd}:hits', 'x');
    await expect(storage.increment('odd', minute, 5, 0, 'default')).rejects.toMatchObject({ code: 'REDIS_COMMAND' });
  });
});

describeOn(standalone)('the module of the throttler storage', (redis) => {
  it('needs no policies, and has a storage for each connection', async () => {
    const testing = await Test.createTestingModule({
      imports: [
        RedisModule.forRoot({ namespace: 'one', ...redis.connection }),
        RedisModule.forRoot({ name: 'edge', namespace: 'two', ...redis.connection }),
        RedisRateLimitModule.forRoot(),
        RedisRateLimitModule.forRootAsync({ name: 'edge', connection: 'edge', useFactory: () => ({ budget: '10s' }) }),
      ],
    })
      .setLogger(silent)
      .compile();
    const app = await testing.createNestApplication().init();
    try {
      expect(app.get(getThrottlerStorageToken())).toBe(app.get(RedisThrottlerStorage));
      expect(app.get(getRateLimitToken())).toBeInstanceOf(RateLimitService);
      // Within its default budget, which a busy machine may miss.
      await eventually(async () => {
        await app.get(RedisThrottlerStorage).increment('ann', minute, 1, 0, 'default');
        return (await redis.client().exists('one:throttler:{default:ann}:hits')) === 1;
      });
      await app.get<RedisThrottlerStorage>(getThrottlerStorageToken('edge')).increment('ann', minute, 1, 0, 'default');
      const keys = await redis.client().keys('*');
      expect(keys.toSorted()).toEqual(['one:throttler:{default:ann}:hits', 'two:throttler:{default:ann}:hits']);
    } finally {
      await app.close();
    }
  });
});
