import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import type { CacheService } from '../src/index.js';
import { gate, startCache, type CacheApp } from './app.js';

/** A source, and a loader that has read it and is not done yet. */
async function loadingOld(cache: CacheService) {
  const source = { value: 'old' };
  const done = gate();
  const loads: string[] = [];
  const load = async () => {
    const read = source.value;
    loads.push(read);
    if (read === 'old') await done.opened;
    return read;
  };
  const first = cache.getOrSet('flight', load);
  await eventually(() => loads.length === 1);
  return { source, load, loads, first, finish: done.open };
}

describeOn(standalone, cluster)('invalidation during a load', (redis) => {
  let here: CacheApp;
  let elsewhere: CacheApp;
  beforeEach(async () => {
    here = await startCache(redis.connection);
    elsewhere = await startCache(redis.connection);
  });
  afterEach(async () => {
    await here[Symbol.asyncDispose]();
    await elsewhere[Symbol.asyncDispose]();
  });

  describe.each([
    ['in this process', () => here.cache],
    ['in another process', () => elsewhere.cache],
  ])('%s', (_, invalidator) => {
    it('does not store the old value after a delete', async () => {
      const { source, load, first, finish } = await loadingOld(here.cache);
      source.value = 'new';
      await invalidator().delete('flight');
      finish();
      expect(await first).toBe('old'); // it had asked before
      expect(await redis.client().exists('shop:cache:{flight}')).toBe(0);
      expect(await here.cache.getOrSet('flight', load)).toBe('new');
      expect(await elsewhere.cache.getOrSet('flight', load)).toBe('new');
    });

    it('lets a set win over the late store', async () => {
      const { first, finish } = await loadingOld(here.cache);
      await invalidator().set('flight', 'set');
      finish();
      await first;
      expect(await here.cache.get('flight')).toBe('set');
      expect(await elsewhere.cache.get('flight')).toBe('set');
    });

    it('does not hand the old value to a caller that came after the delete', async () => {
      const { source, load, loads, first, finish } = await loadingOld(here.cache);
      source.value = 'new';
      await invalidator().delete('flight');
      const missesBefore = here.cache.stats().misses;
      const late = Array.from({ length: 20 }, () => here.cache.getOrSet('flight', load));
      await eventually(() => here.cache.stats().misses >= missesBefore + 20);
      finish();
      expect(await first).toBe('old');
      expect(await Promise.all(late)).toEqual(Array(20).fill('new'));
      expect(loads).toEqual(['old', 'new']);
    });
  });

  it('stores the first of two loads in two processes, and tells the second that it lost', async () => {
    const one = await loadingOld(here.cache);
    const two = await loadingOld(elsewhere.cache);
    two.finish();
    await two.first;
    one.finish();
    await one.first;
    expect(await here.cache.get('flight')).toBe('old');
    expect(elsewhere.cache.stats().stores).toBe(1);
    expect(here.cache.stats()).toMatchObject({ stores: 0, staleLoads: 1 });
  });

  it('goes on storing when the process that opened the lease is gone', async () => {
    const one = await loadingOld(here.cache);
    const two = await loadingOld(elsewhere.cache);
    await here[Symbol.asyncDispose]();
    two.finish();
    await two.first;
    expect(await elsewhere.cache.get('flight')).toBe('old');
    one.finish();
    expect(await one.first).toBe('old');
  });
});
