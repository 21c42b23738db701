import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import { onCacheEvent, type CacheEvent } from '../src/index.js';
import { gate, startCache } from './app.js';

const pause = () => new Promise((resolve) => setTimeout(resolve, 20));

describeOn(standalone, cluster)('what a cache counts', (redis) => {
  it("is in Caffeine's terms: hits, misses, loads and how long they took, and rates of them", async () => {
    await using app = await startCache(redis.connection, { near: false });
    const { cache } = app;
    expect(cache.stats()).toMatchObject({ hits: 0, misses: 0, hitRate: 1, averageLoadMs: 0, loadTimeMs: 0 });
    await cache.getOrSet('a', pause);
    await cache.getOrSet('a', pause);
    await cache.get('a');
    await cache.get('nothing');
    await expect(
      cache.getOrSet('failing', () => pause().then(() => Promise.reject(new Error('no')))),
    ).rejects.toThrow();
    const stats = cache.stats();
    expect(stats).toMatchObject({ hits: 2, misses: 3, loads: 2, loadSuccesses: 1, loadErrors: 1, stores: 1 });
    expect(stats.hitRate).toBe(2 / 5);
    // A timer may be a millisecond early, never more.
    expect(stats.loadTimeMs).toBeGreaterThan(38);
    expect(stats.averageLoadMs).toBe(stats.loadTimeMs / 2);
  });

  it.each(['finds a value then', 'loads it then'])('counts a call once that looks again and %s', async (then) => {
    const found = then.startsWith('finds');
    await using app = await startCache(redis.connection, { near: false });
    await using other = await startCache(redis.connection, { near: false });
    const { cache } = app;
    const loading = gate<string>();
    const load = jest.fn(() => loading.opened);
    const first = cache.getOrSet('looked for', load);
    await eventually(() => load.mock.calls.length === 1);
    const late = Array.from({ length: 3 }, () => cache.getOrSet('looked for', load));
    await eventually(() => cache.stats().misses === 4);
    if (found) await other.cache.set('looked for', 'new');
    else await other.cache.delete('looked for');
    load.mockResolvedValue('new');
    loading.open('old');
    expect(await Promise.all([first, ...late])).toEqual(['old', 'new', 'new', 'new']);
    expect(cache.stats()).toMatchObject({ hits: 0, misses: 4, loads: found ? 1 : 2, staleLoads: 1 });
  });

  it('counts what leaves the near tier because it is full, and nothing that leaves it for another reason', async () => {
    await using app = await startCache(redis.connection, { near: { maxEntries: 2, maxLag: '1m' } });
    const { cache } = app;
    const names = ['a', 'b', 'c', 'd'];
    await cache.setMany(names.map((name) => [name, 1]));
    await eventually(async () => {
      await cache.getMany(names);
      return cache.stats().evictions >= 2;
    });
    await cache.getMany(['c', 'd']);
    const { evictions } = cache.stats();
    await cache.delete('c', 'd');
    expect(cache.stats().evictions).toBe(evictions);
  });

  it('is told of as it happens, without a key, until nobody listens', async () => {
    jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    await using app = await startCache(redis.connection, { near: false });
    const heard: CacheEvent[] = [];
    const stop = onCacheEvent((event) => heard.push(event));
    const stopFailing = onCacheEvent(() => {
      throw new Error('listener');
    });
    await app.cache.getOrSet('a', () => 1);
    await app.cache.get('a');
    await expect(app.cache.getOrSet('b', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    stop();
    stopFailing();
    await app.cache.get('a');
    expect(heard.map(({ event }) => event)).toEqual([
      'miss',
      'load',
      'loaded',
      'store',
      'hit',
      'miss',
      'load',
      'load-failed',
    ]);
    expect(heard[2]).toMatchObject({ cache: 'default', connection: 'default', event: 'loaded' });
    expect(heard[2]?.durationMs).toBeGreaterThanOrEqual(0);
    expect(new Set(heard.flatMap(Object.keys))).toEqual(new Set(['cache', 'connection', 'event', 'durationMs']));
    expect(Logger.prototype.warn).toHaveBeenCalledTimes(1);
    jest.restoreAllMocks();
  });
});
