import { jest } from '@jest/globals';
import { getRedisConnectionToken, type RedisConnection } from '@redstart/redis-core';
import { cluster, describeOn, eventually, sentinel, standalone } from '@redstart/redis-testing';
import { CacheCycleError } from '../src/index.js';
import { gate, startCache } from './app.js';

describeOn(
  standalone,
  cluster,
  sentinel,
)('single flight', (redis) => {
  it('loads once for 250 callers of one key', async () => {
    await using app = await startCache(redis.connection);
    const done = gate();
    const load = jest.fn(async () => {
      await done.opened;
      return { seats: 9 };
    });
    const calls = Array.from({ length: 250 }, () => app.cache.getOrSet('flight', load));
    await eventually(() => app.cache.stats().misses === 250);
    done.open();
    const values = await Promise.all(calls);
    expect(load).toHaveBeenCalledTimes(1);
    expect(values.every(({ seats }) => seats === 9)).toBe(true);
    // No two callers share an object that one of them could change.
    expect(new Set(values).size).toBe(250);
  });

  it('hands a loader’s error to all of them, and does not cache it', async () => {
    await using app = await startCache(redis.connection);
    const done = gate();
    const failure = new Error('database down');
    const load = jest.fn(async () => {
      await done.opened;
      throw failure;
    });
    const calls = Array.from({ length: 250 }, () => app.cache.getOrSet('flight', load));
    const outcomes = Promise.allSettled(calls);
    await eventually(() => app.cache.stats().misses === 250);
    done.open();
    expect((await outcomes).every((outcome) => outcome.status === 'rejected' && outcome.reason === failure)).toBe(true);
    expect(load).toHaveBeenCalledTimes(1);
    expect(app.cache.stats()).toMatchObject({ loads: 1, loadErrors: 1, stores: 0 });

    expect(await app.cache.getOrSet('flight', () => 'fine')).toBe('fine');
    expect(await app.cache.get('flight')).toBe('fine');
  });

  it('passes on what a synchronous loader throws', async () => {
    await using app = await startCache(redis.connection);
    const load = () => {
      throw new RangeError('sync');
    };
    await expect(app.cache.getOrSet('a', load)).rejects.toThrow(RangeError);
  });

  it('refuses a loader that asks for its own key, also by way of another', async () => {
    await using app = await startCache(redis.connection);
    const { cache } = app;
    await expect(cache.getOrSet('a', () => cache.getOrSet('a', () => 1))).rejects.toThrow(CacheCycleError);
    await expect(cache.getOrSet('a', () => cache.getOrSet('b', () => cache.getOrSet('a', () => 1)))).rejects.toThrow(
      CacheCycleError,
    );
    expect(await cache.getOrSet('a', () => cache.getOrSet('b', () => 1))).toBe(1);
  });

  it('renews the lease of a loader that outlasts it', async () => {
    await using app = await startCache(redis.connection, { lease: 4_500 });
    const done = gate();
    const call = app.cache.getOrSet('slow', async () => {
      await done.opened;
      return 'kept';
    });
    const client = redis.client();
    const lease = 'shop:cache-lease:{slow}';
    await eventually(async () => (await client.exists(lease)) === 1);
    const token = await client.get(lease);
    const since = performance.now();
    let left = await client.pttl(lease);
    let renewals = 0;
    await eventually(
      async () => {
        const now = await client.pttl(lease);
        if (now > left) renewals += 1;
        left = now;
        expect(renewals).toBeGreaterThanOrEqual(2);
        expect(performance.now() - since).toBeGreaterThan(4_500);
      },
      { within: 30_000 },
    );
    expect(await client.get(lease)).toBe(token);
    done.open();
    await call;
    expect(await app.cache.get('slow')).toBe('kept');
    expect(await client.exists('shop:cache-lease:{slow}')).toBe(0);
  }, 60_000);

  it('renews a lease for ten times its length, or for as long as somebody waits: then others load the value and store it', async () => {
    await using app = await startCache(redis.connection, { lease: '60s' });
    const { clock, leases } = app.context.get<RedisConnection>(getRedisConnectionToken());
    const track = jest.spyOn(leases, 'track');
    const done = gate();
    const load = () => done.opened;
    const calls = [
      app.cache.getOrSet('hung', load),
      app.cache.getOrSet('limited', load, { hardTimeout: '30m' }),
      app.cache.getOrSet('awaited', load, { waitTimeout: '30m' }),
    ];
    await eventually(() => track.mock.calls.length === 3);
    const client = redis.client();
    const now = clock.now();
    const renewedAfter = async (minutes: number) => {
      jest.spyOn(performance, 'now').mockReturnValue(now + minutes * 60_000);
      const renewed: string[] = [];
      for (const [group, lease] of track.mock.calls) {
        await client.pexpire(lease.key, 20_000);
        await group.renew([lease]);
        if ((await client.pttl(lease.key)) > 20_000) renewed.push(/{(.*)}/.exec(lease.key)?.[1] ?? '');
      }
      jest.mocked(performance.now).mockRestore();
      return renewed.toSorted();
    };
    expect(await renewedAfter(9.9)).toEqual(['awaited', 'hung', 'limited']);
    expect(leases.size).toBe(3);
    expect(await renewedAfter(10.1)).toEqual(['awaited', 'limited']);
    expect(leases.size).toBe(2);
    expect(await renewedAfter(30.1)).toEqual([]);
    expect(leases.size).toBe(0);
    await client.del('shop:cache-lease:{hung}'); // has lapsed
    await using elsewhere = await startCache(redis.connection);
    expect(await elsewhere.cache.getOrSet('hung', () => 'new')).toBe('new');
    done.open();
    await Promise.all(calls);
    expect(await elsewhere.cache.get('hung')).toBe('new');
    expect(app.cache.stats()).toMatchObject({ stores: 2, staleLoads: 1 });
  });

  it('lets the lease of a loader that has failed lapse', async () => {
    await using app = await startCache(redis.connection, { lease: 60 });
    const failing = app.cache.getOrSet('a', () => Promise.reject(new Error('database down')));
    await expect(failing).rejects.toThrow('database down');
    const client = redis.client();
    await eventually(async () => (await client.exists('shop:cache-lease:{a}')) === 0);
  });

  it('does not store what a stalled process has loaded past its lease', async () => {
    await using app = await startCache(redis.connection, { lease: 60 });
    const client = redis.client();
    const value = await app.cache.getOrSet('stalled', () => {
      const until = performance.now() + 150;
      while (performance.now() < until); // the event loop stands still
      return 'late';
    });
    expect(value).toBe('late');
    expect(await client.exists('shop:cache:{stalled}')).toBe(0);
    expect(app.cache.stats().staleLoads).toBe(1);
  });
});
