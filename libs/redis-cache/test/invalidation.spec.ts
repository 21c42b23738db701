import { jest } from '@jest/globals';
import { cluster, describeOn, eventually, sentinel, standalone } from '@redstart/redis-testing';
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

describeOn(
  standalone,
  cluster,
  sentinel,
)('invalidation during a load', (redis) => {
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

  it('does not store an old value under the lease of a load that began after the delete', async () => {
    const old = await loadingOld(here.cache);
    await elsewhere.cache.delete('flight');
    const done = gate();
    const started = gate();
    const fresh = elsewhere.cache.getOrSet('flight', async () => {
      started.open();
      await done.opened;
      return 'new';
    });
    await started.opened;
    old.finish();
    expect(await old.first).toBe('old'); // it had asked before
    expect(await redis.client().exists('shop:cache:{flight}')).toBe(0);
    done.open();
    expect(await fresh).toBe('new');
    expect(await here.cache.get('flight')).toBe('new');
  });

  it('does not hand a value that is not stored to a caller that came after the delete either', async () => {
    const done = gate();
    const load = jest.fn(async () => {
      const read = load.mock.calls.length;
      if (read === 1) await done.opened;
      return read;
    });
    const unless = () => true;
    const first = here.cache.getOrSet('flight', load, { unless });
    await eventually(() => load.mock.calls.length === 1);
    await elsewhere.cache.delete('flight');
    const late = here.cache.getOrSet('flight', load, { unless });
    await eventually(() => here.cache.stats().misses === 2);
    done.open();
    expect(await first).toBe(1);
    expect(await late).toBe(2);
  });

  it('lets callers share the load that began after the delete when the one before ends', async () => {
    const { source, load, loads, first, finish } = await loadingOld(here.cache);
    source.value = 'new';
    await here.cache.delete('flight');
    const done = gate();
    const slow = jest.fn(async () => {
      await done.opened;
      return load();
    });
    const second = here.cache.getOrSet('flight', slow);
    await eventually(() => slow.mock.calls.length === 1);
    finish();
    await first;
    const third = here.cache.getOrSet('flight', slow);
    await eventually(() => here.cache.stats().misses === 3);
    done.open();
    expect(await Promise.all([second, third])).toEqual(['new', 'new']);
    expect(loads).toEqual(['old', 'new']);
  });
});
