import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { OptionsError } from '@redstart/redis-core';
import { cluster, describeOn, eventually, FaultProxy, standalone } from '@redstart/redis-testing';
import { CacheCycleError, CacheService } from '../src/index.js';
import { callsOf, gate, hold, startCache, type CacheApp } from './app.js';

const at = 'shop:cache:{flight}';
const lease = 'shop:cache-lease:{flight}';

function failing(): never {
  throw new Error('not loaded');
}

describeOn(standalone, cluster)('writeThrough', (redis) => {
  let here: CacheApp;
  let elsewhere: CacheApp;
  beforeAll(async () => {
    here = await startCache(redis.connection);
    elsewhere = await startCache(redis.connection);
  });
  afterAll(async () => {
    await here[Symbol.asyncDispose]();
    await elsewhere[Symbol.asyncDispose]();
  });
  beforeEach(() => here.cache.delete('flight'));

  it('writes the store, then the cache, with its ttl and tags', async () => {
    const { cache } = here;
    await cache.set('flight', 'old');
    const seen: unknown[] = [];
    const write = jest.fn(async (value: string) => {
      seen.push(value, await elsewhere.cache.get('flight'));
    });
    expect(await cache.writeThrough('flight', 'new', write, { ttl: '1m', tags: ['airline'] })).toBe(true);
    expect(seen).toEqual(['new', 'old']);
    expect(await elsewhere.cache.get('flight')).toBe('new');
    const entry = await elsewhere.cache.getEntry('flight');
    expect(entry).toMatchObject({ tags: ['airline'] });
    expect(entry?.ttl).toBeGreaterThan(40_000);
    expect(await redis.client().pttl(at)).toBeGreaterThan(40_000);
    expect(await redis.client().exists(lease)).toBe(0);
    await elsewhere.cache.invalidateTags('airline');
    expect(await cache.get('flight')).toBeUndefined();
  });

  it('writes the cache first when it is asked to', async () => {
    const seen: unknown[] = [];
    const write = async () => {
      seen.push(await elsewhere.cache.get('flight'));
    };
    expect(await here.cache.writeThrough('flight', 'new', write, { first: 'cache' })).toBe(true);
    expect(seen).toEqual(['new']);
    expect(await elsewhere.cache.get('flight')).toBe('new');
  });

  it.each(['store', 'cache'] as const)('leaves nothing in the cache when the write fails, %s first', async (first) => {
    await here.cache.set('flight', 'old');
    const failure = new Error('connection lost: nobody knows');
    const written = here.cache.writeThrough('flight', 'new', () => Promise.reject(failure), { first });
    await expect(written).rejects.toBe(failure);
    expect(await redis.client().exists(at)).toBe(0);
    expect(await redis.client().exists(lease)).toBe(0);
    expect(await elsewhere.cache.get('flight')).toBeUndefined();
  });

  it('lets readers who miss the value wait for the write, here and elsewhere, instead of loading what is about to be outdated', async () => {
    const written = gate();
    const load = jest.fn(() => 'loaded');
    const write = here.cache.writeThrough('flight', 'new', () => written.opened);
    await eventually(async () => (await redis.client().exists(lease)) === 1);
    const readers = [here, elsewhere].map(({ cache }) => cache.getOrSet('flight', load));
    await eventually(async () => (await redis.client().get(lease))?.startsWith('+') === true); // elsewhere waits
    written.open();
    expect(await write).toBe(true);
    expect(await Promise.all(readers)).toEqual(['new', 'new']);
    expect(load).not.toHaveBeenCalled();
  });

  it('is not kept out of the cache by a load that is under way', async () => {
    const read = gate();
    const load = elsewhere.cache.getOrSet('flight', async () => {
      await read.opened;
      return 'old';
    });
    await eventually(async () => (await redis.client().exists(lease)) === 1);
    expect(await here.cache.writeThrough('flight', 'new', () => undefined)).toBe(true);
    read.open();
    expect(await load).toBe('old'); // it had asked before
    expect(await elsewhere.cache.get('flight')).toBe('new');
  });

  it('wakes those who wait when the write fails', async () => {
    const failing = gate();
    const write = here.cache.writeThrough('flight', 'new', async () => {
      await failing.opened;
      throw new Error('refused');
    });
    await eventually(async () => (await redis.client().exists(lease)) === 1);
    const reader = elsewhere.cache.getOrSet('flight', () => 'loaded');
    await eventually(async () => (await redis.client().get(lease))?.startsWith('+') === true);
    failing.open();
    await expect(write).rejects.toThrow('refused');
    expect(await reader).toBe('loaded'); // the lease would have kept it waiting for a minute
  });

  it('rejects a write that asks the cache for its own key, instead of waiting for itself', async () => {
    const write = here.cache.writeThrough('flight', 'new', () => here.cache.getOrSet('flight', () => 'loaded'));
    await expect(write).rejects.toThrow(CacheCycleError);
    expect(await here.cache.writeThrough('flight', 'new', () => here.cache.getOrSet('other', () => 1))).toBe(true);
  });

  it('leaves no outdated value for longer than the lease when the process dies between the store and the cache', async () => {
    await here.cache.set('flight', 'old', { ttl: '1h' });
    await using short = await startCache(redis.connection, { lease: '1s' });
    // What a process that has died does not send.
    using dead = hold(short, 'requests', 'cache.store', 'cache.renew');
    const write = short.cache.writeThrough('flight', 'new', () => undefined);
    await eventually(() => dead.count > 0);
    expect(await redis.client().pttl(at)).toBeLessThanOrEqual(1_000);
    await eventually(async () => (await elsewhere.cache.get('flight')) === undefined, { within: 15_000 });
    expect(await elsewhere.cache.getOrSet('flight', () => 'what the store has')).toBe('what the store has');
    dead.release();
    expect(await write).toBe(false); // late: it does not know what has happened meanwhile
    expect(await redis.client().exists(at)).toBe(0);
  });

  it.each([true, false])('lets no reader prolong what may be outdated, sliding: %s', async (sliding) => {
    await here.cache.set('flight', 'old', { ttl: '1h', sliding });
    await using short = await startCache(redis.connection, { lease: '10s' });
    using dead = hold(short, 'requests', 'cache.store', 'cache.renew');
    const write = short.cache.writeThrough('flight', 'new', () => undefined);
    await eventually(() => dead.count > 0);
    expect(await elsewhere.cache.get('flight')).toBe('old');
    expect(await elsewhere.cache.touch('flight', { ttl: '2h' })).toBe(true);
    expect(await redis.client().pttl(at)).toBeLessThanOrEqual(10_000);
    dead.release();
    await write;
  });

  it.each<[string, object]>([
    ['a lazy relation', Object.defineProperty({}, 'crew', { enumerable: true, get: failing })],
    ['a toJSON that throws', { toJSON: failing }],
  ])('writes what can’t be read for the cache all the same: %s', async (_, unreadable) => {
    const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    for (const first of ['store', 'cache'] as const) {
      await here.cache.set('flight', 'old');
      const write = jest.fn((_value: object) => undefined);
      expect(await here.cache.writeThrough('flight', unreadable, write, { first })).toBe(false);
      expect(write.mock.calls).toHaveLength(1);
      expect(write.mock.calls[0]?.[0] === unreadable).toBe(true);
      expect(await elsewhere.cache.get('flight')).toBeUndefined();
    }
    warn.mockRestore();
  });

  it('writes what the cache can’t hold all the same', async () => {
    const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    await using small = await startCache(redis.connection, { maxValueBytes: 100 });
    await small.cache.set('flight', 'old');
    const write = jest.fn((_value: string) => undefined);
    for (const first of ['store', 'cache'] as const) {
      expect(await small.cache.writeThrough('flight', 'x'.repeat(200), write, { first })).toBe(false);
    }
    expect(write).toHaveBeenCalledTimes(2);
    expect(await small.cache.get('flight')).toBeUndefined();
    expect(small.cache.stats().unsupported).toBe(2);
    warn.mockRestore();
  });

  it('refuses wrong options before anything is written', async () => {
    const write = jest.fn(() => undefined);
    const wrong = { first: 'both' as 'store' };
    await expect(here.cache.writeThrough('flight', 1, write, wrong)).rejects.toThrow(OptionsError);
    await expect(here.cache.writeThrough('flight', 1, write, { ttl: '-1s' as '1s' })).rejects.toThrow(OptionsError);
    expect(write).not.toHaveBeenCalled();
  });

  it('sends what its documentation says', async () => {
    await here.cache.set('flight', 0); // the version is known
    expect(await callsOf(here, () => here.cache.writeThrough('flight', 1, () => undefined))).toEqual([
      'cache.write-lease',
      'cache.get',
      'cache.store',
    ]);
    const failing = here.cache.writeThrough('flight', 1, () => Promise.reject(new Error('refused')));
    const sent = await callsOf(here, () => failing.catch(() => undefined));
    expect(sent).toEqual(expect.arrayContaining(['cache.delete', 'cache.release']));
  });
});

describeOn(standalone)('writeThrough without Redis', (redis) => {
  it('writes the store, and deletes the outdated value when Redis is back', async () => {
    const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    const proxy = await FaultProxy.start(redis.server);
    await using app = await startCache({ url: proxy.url }, { budget: 300, near: false });
    await using elsewhere = await startCache(redis.connection, { near: false });
    for (const first of ['store', 'cache'] as const) {
      // By the one whose budget no machine is too slow for.
      await elsewhere.cache.set('flight', 'old');
      const fault = proxy.refuse();
      const write = jest.fn(() => undefined);
      // Not the one whose changes wait until other near tiers have heard: Redis is not there to tell.
      expect(await app.context.get(CacheService).writeThrough('flight', 'new', write, { first })).toBe(false);
      expect(write).toHaveBeenCalledTimes(1);
      fault.stop();
      await eventually(async () => (await elsewhere.cache.get('flight')) === undefined, { within: 20_000 });
      expect(fault.injected).toBeGreaterThan(0);
    }
    await proxy.stop();
    warn.mockRestore();
  }, 60_000);
});
