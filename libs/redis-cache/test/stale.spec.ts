import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import { CacheLoadFailedError, CacheLoadTimeoutError, type CacheService } from '../src/index.js';
import { isDue } from '../src/load/early-refresh.js';
import { gate, startCache, type CacheApp } from './app.js';
import { nearTiersHaveHeard } from './near-barrier.js';

const failing = () => Promise.reject(new Error('database down'));

describeOn(standalone, cluster)('values that are stale, or soon will be', (redis) => {
  let here: CacheApp;
  let elsewhere: CacheApp;
  beforeAll(async () => {
    jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    here = await startCache(redis.connection, { jitter: 0 });
    elsewhere = await startCache(redis.connection, { jitter: 0 });
  });
  afterAll(async () => {
    await here[Symbol.asyncDispose]();
    await elsewhere[Symbol.asyncDispose]();
    jest.restoreAllMocks();
  });
  // Redis has been emptied behind their backs.
  beforeEach(() => nearTiersHaveHeard(redis.client()));

  /** Lets the time of an entry go by, as its header has it. */
  async function age(key: string, ms: number): Promise<void> {
    const client = redis.client();
    const name = `shop:cache:{${key}}`;
    const bytes = await client.getBuffer(name);
    if (bytes === null) throw new Error('there is no such entry');
    for (const at of [4, 10, 16]) bytes.writeUIntBE(bytes.readUIntBE(at, 6) - ms, at, 6);
    await client.set(name, bytes, 'KEEPTTL');
    await nearTiersHaveHeard(client);
  }

  const revalidating = { ttl: '1m', staleWhileRevalidate: '1h' } as const;

  it('are served at once while one load of all processes replaces them', async () => {
    await here.cache.set('a', 'old', revalidating);
    await age('a', 61_000);
    const done = gate();
    const load = jest.fn(async () => {
      await done.opened;
      return 'new';
    });
    const refreshes = () => here.cache.stats().refreshes + elsewhere.cache.stats().refreshes;
    const before = refreshes();
    const calls = [here, elsewhere].flatMap(({ cache }) =>
      Array.from({ length: 50 }, () => cache.getOrSet('a', load, revalidating)),
    );
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['old']));
    await eventually(() => load.mock.calls.length === 1);
    done.open();
    await eventually(async () => (await here.cache.get('a')) === 'new');
    expect(load).toHaveBeenCalledTimes(1);
    expect(refreshes() - before).toBeLessThanOrEqual(4); // a read of each process that came after the other's lease
    expect(here.cache.stats().staleHits).toBe(50);
    expect(await elsewhere.cache.getOrSet('a', load, revalidating)).toBe('new');
  });

  it('are not served when their time as stale values is over, too', async () => {
    await here.cache.set('a', 'old', { ...revalidating, staleIfError: '2h' });
    await age('a', 62 * 60_000);
    expect(await here.cache.getOrSet('a', () => 'new', revalidating)).toBe('new');
    await here.cache.set('a', 'old', { ...revalidating, staleIfError: '2h' });
    await age('a', 62 * 60_000);
    await expect(here.cache.getOrSet('a', failing, { ...revalidating, staleIfError: '1h' })).rejects.toThrow(
      'database',
    );
    expect(await here.cache.getOrSet('a', failing, { ...revalidating, staleIfError: '2h' })).toBe('old');
  });

  it('are served when the loader fails, and the loader is left alone for a while, in all processes', async () => {
    const options = { ttl: '1m', staleIfError: '1h', errorBackoff: '1h' } as const;
    await here.cache.set('a', 'old', options);
    await age('a', 61_000);
    const load = jest.fn(failing);
    const before = here.cache.stats().staleOnError;
    expect(await here.cache.getOrSet('a', load, options)).toBe('old');
    for (const { cache } of [here, elsewhere]) {
      for (let call = 0; call < 10; call += 1) expect(await cache.getOrSet('a', load, options)).toBe('old');
    }
    expect(load).toHaveBeenCalledTimes(1);
    expect(here.cache.stats().staleOnError - before).toBe(11);
    // Who has nothing to serve instead tries all the same; so does everybody after a change.
    expect(await elsewhere.cache.getOrSet('a', () => 'new', { ttl: '1m' })).toBe('new');
    await here.cache.set('a', 'old', options);
    await age('a', 61_000);
    expect(await here.cache.getOrSet('a', () => 'newer', options)).toBe('newer');
  });

  it('are counted from now when a loader has failed, however long they have been stale', async () => {
    const options = { ttl: '1m', staleIfError: '3h', errorBackoff: '1h' } as const;
    await here.cache.set('a', 'old', options);
    await age('a', 2 * 60 * 60_000);
    const load = jest.fn(failing);
    for (let call = 0; call < 5; call += 1) expect(await here.cache.getOrSet('a', load, options)).toBe('old');
    expect(load).toHaveBeenCalledTimes(1);
    expect(await redis.client().pttl('shop:cache-lease:{a}')).toBeGreaterThan(50 * 60_000);
  });

  it('lets an error be the answer for errorTtl, in all processes', async () => {
    const load = jest.fn(failing);
    const options = { errorTtl: '1h' } as const;
    for (let call = 0; call < 3; call += 1) {
      await expect(here.cache.getOrSet('a', load, options)).rejects.toThrow('database down');
    }
    await expect(elsewhere.cache.getOrSet('a', load, options)).rejects.toThrow(CacheLoadFailedError);
    expect(load).toHaveBeenCalledTimes(1);
    await elsewhere.cache.delete('a');
    expect(await elsewhere.cache.getOrSet('a', () => 'fine', options)).toBe('fine');
  });

  it('are served by a loader that takes longer than its soft timeout; what it brings is stored', async () => {
    const options = { ttl: '1m', staleIfError: '1h', softTimeout: 30 } as const;
    await here.cache.set('a', 'old', options);
    await age('a', 61_000);
    const done = gate();
    const load = jest.fn(async () => {
      await done.opened;
      return 'new';
    });
    expect(await here.cache.getOrSet('a', load, options)).toBe('old');
    expect(await here.cache.getOrSet('a', load, options)).toBe('old');
    await eventually(() => load.mock.calls.length === 1);
    done.open();
    await eventually(async () => (await elsewhere.cache.get('a')) === 'new');
  });

  it('fail after the hard timeout when there is nothing else; what the loader brings is stored', async () => {
    const done = gate();
    const load = jest.fn(async () => {
      await done.opened;
      return 'late';
    });
    const options = { hardTimeout: 30, softTimeout: 10 } as const;
    const calls = Array.from({ length: 20 }, () => here.cache.getOrSet('a', load, options));
    const outcomes = await Promise.allSettled(calls);
    expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true);
    await expect(here.cache.getOrSet('a', load, options)).rejects.toThrow(CacheLoadTimeoutError);
    await eventually(() => load.mock.calls.length === 1);
    done.open();
    await eventually(async () => (await elsewhere.cache.get('a')) === 'late');
    expect(load).toHaveBeenCalledTimes(1);
  });

  it('know what they replace', async () => {
    await here.cache.set('a', 'old', revalidating);
    await age('a', 61_000);
    const known: unknown[] = [];
    await here.cache.getOrSet('a', ({ staleValue }) => known.push(staleValue));
    await here.cache.getOrSet('b', ({ staleValue }) => known.push(staleValue));
    expect(known).toEqual(['old', undefined]);
  });

  it('are loaded anew before they are stale, after a share of their ttl, by one of all processes', async () => {
    const options = { ttl: '10m', refreshAhead: 0.8 } as const;
    const load = jest.fn(() => 'new');
    await here.cache.set('a', 'old', options);
    // The first read asks for the clock of Redis.
    await here.cache.getEntry('a');
    expect(await here.cache.getOrSet('a', load, options)).toBe('old');
    await age('a', 7 * 60_000);
    expect(await here.cache.getOrSet('a', load, options)).toBe('old');
    expect(load).not.toHaveBeenCalled();
    await age('a', 2 * 60_000);
    const calls = Array.from({ length: 50 }, () => here.cache.getOrSet('a', load, options));
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['old']));
    await eventually(async () => (await elsewhere.cache.get('a')) === 'new');
    expect(load).toHaveBeenCalledTimes(1);
    expect(await here.cache.getOrSet('a', load, options)).toBe('new');
  });

  it('stay as they are when a refresh fails, and are not tried again at once', async () => {
    const options = { ttl: '10m', refreshAhead: 0.5, staleIfError: '1h', errorBackoff: '1h' } as const;
    await here.cache.set('a', 'old', options);
    await here.cache.getEntry('a');
    await age('a', 6 * 60_000);
    const load = jest.fn(failing);
    expect(await here.cache.getOrSet('a', load, options)).toBe('old');
    await eventually(() => here.cache.stats().loadErrors > 0 && load.mock.calls.length === 1);
    const refresh = async (cache: CacheService) => {
      for (let call = 0; call < 5; call += 1) expect(await cache.getOrSet('a', load, options)).toBe('old');
    };
    await refresh(here.cache);
    expect(load).toHaveBeenCalledTimes(1);
  });

  it('are stale when marked so, also for a process whose idea of the clock of Redis is behind', async () => {
    await here.cache.set('a', 'old', revalidating);
    await elsewhere.cache.markStale('a');
    await age('a', -5_000);
    expect(await here.cache.get('a')).toBeUndefined();
    expect(await here.cache.getOrSet('a', () => 'new')).toBe('new');
  });

  it('are no younger for being marked stale once more', async () => {
    await here.cache.set('a', 'old', { ttl: '1m', staleIfError: '4h' });
    await age('a', 2 * 60 * 60_000);
    await here.cache.markStale('a');
    await nearTiersHaveHeard(redis.client());
    await expect(here.cache.getOrSet('a', failing, { staleIfError: '1h' })).rejects.toThrow('database down');
    expect(await here.cache.getOrSet('a', failing, { staleIfError: '3h' })).toBe('old');
  });

  it('are stale since their tag was marked, however old the tag is', async () => {
    const longAgo = (Date.now() - 2 * 60 * 60_000) * 1_000;
    await redis.client().set('shop:cache:{x}:tag', `${longAgo}:${longAgo}`, 'PX', 600_000);
    await nearTiersHaveHeard(redis.client());
    await here.cache.set('a', 'old', { ttl: '1h', staleIfError: '4h', tags: ['x'] });
    await here.cache.getEntry('a', { tags: ['x'] }); // which asks for the clock of Redis
    await here.cache.markTagsStale('x');
    expect(await here.cache.getOrSet('a', failing, { staleIfError: '1h', tags: ['x'] })).toBe('old');
  });

  it('are refreshed again after a writeThrough, though the last refresh has failed', async () => {
    const options = { ...revalidating, errorBackoff: '1h' } as const;
    await here.cache.set('a', 'old', options);
    await age('a', 61_000);
    const { loadErrors } = here.cache.stats();
    expect(await here.cache.getOrSet('a', failing, options)).toBe('old');
    await eventually(async () => (await redis.client().get('shop:cache-lease:{a}')) === '!');
    expect(here.cache.stats().loadErrors).toBe(loadErrors + 1);
    await here.cache.writeThrough('a', 'written', () => undefined, revalidating);
    await age('a', 61_000);
    expect(await here.cache.getOrSet('a', () => 'new', options)).toBe('written');
    await eventually(async () => (await here.cache.get('a')) === 'new');
  });
});

describe('when a value is due', () => {
  const value = { createdAt: 0, freshUntil: 100_000, loadMs: 1_000 };

  it('is a share of its ttl', () => {
    expect(isDue({ kind: 'share', share: 0.8 }, value, 79_999)).toBe(false);
    expect(isDue({ kind: 'share', share: 0.8 }, value, 80_000)).toBe(true);
    expect(isDue({ kind: 'never' }, value, 200_000)).toBe(false);
  });

  /** At which share of the draws a value is due. */
  const chance = (now: number, beta = 1, of = value) => {
    const draws = 10_000;
    let due = 0;
    for (let draw = 0; draw < draws; draw += 1) {
      if (isDue({ kind: 'xfetch', beta }, of, now, () => draw / draws)) due += 1;
    }
    return due / draws;
  };

  it('is drawn as XFetch says: exp(-left / (beta * load)), never at -Infinity', () => {
    expect(chance(99_000)).toBeCloseTo(Math.exp(-1), 2);
    expect(chance(98_000, 2)).toBeCloseTo(Math.exp(-1), 2);
    expect(chance(95_000)).toBeCloseTo(Math.exp(-5), 2);
    expect(chance(100_000)).toBe(1);
    expect(chance(0)).toBe(0);
  });

  it('leaves a value alone whose load takes longer than its ttl', () => {
    expect(chance(1, 1, { ...value, loadMs: 10_000_000 })).toBeLessThan(0.2);
  });
});
