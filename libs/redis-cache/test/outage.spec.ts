import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { RedisUnavailableError } from '@redstart/redis-core';
import { describeOn, eventually, FaultProxy, RedisServer, standalone, type FaultHandle } from '@redstart/redis-testing';
import type { CacheService } from '../src/index.js';
import { gate, ownTime, startCache } from './app.js';

const budget = 150;
/** What a busy machine may add to the time that it has given to the process. */
const slack = 250;

describeOn(standalone)('outage', (redis) => {
  let proxy: FaultProxy;
  let warn: jest.SpiedFunction<Logger['warn']>;
  beforeEach(async () => {
    proxy = await FaultProxy.start(redis.server);
    warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
  });
  afterEach(async () => {
    warn.mockRestore();
    await proxy.stop();
  });

  const faults: [string, (proxy: FaultProxy) => FaultHandle][] = [
    ['silent', (proxy) => proxy.blackhole()],
    ['slow', (proxy) => proxy.latency(2_000)],
    ['down', (proxy) => proxy.refuse()],
  ];

  it.each(faults)('runs the loader within the budget when Redis is %s', async (_, inject) => {
    await using app = await startCache({ url: proxy.url }, { budget });
    const { cache } = app;
    await using patient = await startCache(redis.connection);
    await patient.cache.set('known', 'stored');
    using fault = inject(proxy);

    using waited = ownTime();
    expect(await cache.getOrSet('known', () => 'loaded')).toBe('loaded');
    expect(waited.ms).toBeLessThan(budget + slack);
    expect(await cache.get('known')).toBeUndefined();
    await expect(cache.set('known', 1)).rejects.toThrow(RedisUnavailableError);
    await expect(cache.delete('known')).rejects.toThrow(RedisUnavailableError);
    expect(waited.ms).toBeLessThan(4 * (budget + slack));
    expect(cache.stats().errors).toBe(4);
    await eventually(() => fault.injected > 0); // a reply that is slow has to be there first
  });

  it('still loads once for many callers of one key', async () => {
    await using app = await startCache({ url: proxy.url }, { budget });
    using fault = proxy.blackhole();
    const done = gate();
    const load = jest.fn(async () => {
      await done.opened;
      return 1;
    });
    const calls = Array.from({ length: 50 }, () => app.cache.getOrSet('a', load));
    await eventually(() => app.cache.stats().misses === 50);
    done.open();
    await Promise.all(calls);
    expect(load).toHaveBeenCalledTimes(1);
    await eventually(() => fault.injected > 0); // the proxy is in this process, and may be behind its timers
  });

  it('returns the value when Redis goes away during the load', async () => {
    // Roomy: what comes before the load may not use it up, however busy the machine is.
    const roomy = 2_500;
    await using app = await startCache({ url: proxy.url }, { budget: roomy });
    const faults: FaultHandle[] = [];
    using waited = ownTime();
    let before = 0;
    const value = await app.cache.getOrSet('a', () => {
      faults.push(proxy.blackhole());
      before = waited.ms;
      return 'loaded';
    });
    expect(waited.ms - before).toBeLessThan(roomy + slack);
    expect(value).toBe('loaded');
    expect(app.cache.stats()).toMatchObject({ loads: 1, errors: 1, stores: 0 });
    expect(faults[0]?.injected).toBeGreaterThan(0); // the store was on its way
    faults[0]?.stop();
  });

  it('spends one budget on all commands of a call', async () => {
    await using app = await startCache({ url: proxy.url }, { budget });
    await using patient = await startCache(redis.connection);
    await patient.cache.set('b', 1); // makes the version of the cache
    using slow = proxy.latency(0.7 * budget); // enough for one command, and not for two
    expect(await app.cache.getOrSet('a', () => 'loaded')).toBe('loaded');
    expect(app.cache.stats()).toMatchObject({ loads: 1, stores: 0 });
    expect(app.cache.stats().errors).toBeGreaterThan(0); // one, unless even the first one took too long
    expect(await redis.client().exists('shop:cache:{a}')).toBe(0);
    await eventually(() => slow.injected > 0);
  });

  it.each(faults.filter(([how]) => how !== 'slow'))(
    'makes a long outage cheap when Redis is %s, and recovers by itself',
    async (_, inject) => {
      await using app = await startCache({ url: proxy.url }, { budget: 50 });
      const { cache } = app;
      using fault = inject(proxy);
      for (let call = 0; call < 6; call++) await cache.getOrSet('a', () => call);
      using waited = ownTime();
      for (let call = 0; call < 500; call++) await cache.getOrSet('a', () => call);
      // The breaker lets a probe through now and then; 500 waits would be 25 s.
      expect(waited.ms).toBeLessThan(2_500);
      expect(fault.injected).toBeGreaterThan(0);
      expect(warn.mock.calls.length).toBeLessThan(5);

      fault.stop();
      await eventually(
        async () => {
          await cache.getOrSet('b', () => 'back');
          expect(await cache.get('b')).toBe('back');
        },
        { within: 45_000 },
      );
    },
    90_000,
  );

  it.each([
    ['delete', (cache: CacheService) => cache.delete('a')],
    ['set', (cache: CacheService) => cache.set('a', 'new')],
  ])(
    'does not store an old value after a %s that could not reach Redis',
    async (_, change) => {
      await using app = await startCache({ url: proxy.url }, { budget });
      const { cache } = app;
      const started = gate();
      const done = gate();
      const old = cache.getOrSet('a', async () => {
        started.open();
        await done.opened;
        return 'old';
      });
      await started.opened;
      const fault = proxy.refuse();
      await expect(change(cache)).rejects.toThrow(RedisUnavailableError);
      fault.stop();
      await eventually(() => cache.set('other', 1), { within: 30_000 });
      done.open();
      expect(await old).toBe('old');
      expect(await redis.client().exists('shop:cache:{a}')).toBe(0);
      expect(fault.injected).toBeGreaterThan(0);
    },
    60_000,
  );

  it('loads on after a restart with an empty Redis, and after SCRIPT FLUSH', async () => {
    await using server = await RedisServer.start();
    await using app = await startCache({ url: server.url });
    const { cache } = app;
    await cache.getOrSet('a', () => 1);
    await server.restart();
    await eventually(
      async () => {
        await cache.getOrSet('a', () => 2);
        expect(await cache.get('a')).toBe(2);
      },
      { within: 30_000 },
    );
    await server.client().script('FLUSH');
    await cache.getOrSet('b', () => 3);
    expect(await cache.get('b')).toBe(3);
  }, 90_000);
});
