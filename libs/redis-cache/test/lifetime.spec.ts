import { jest } from '@jest/globals';
import { OptionsError } from '@redstart/redis-core';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { nowhere, startCache, type CacheApp } from './app.js';
import { nearTiersHaveHeard } from './near-barrier.js';

const minute = 60_000;
const hour = 60 * minute;

describeOn(standalone, cluster)('how long a value lives', (redis) => {
  let app: CacheApp;
  beforeAll(async () => {
    app = await startCache(redis.connection, { jitter: 0, ttl: '10m' });
  });
  afterAll(() => app[Symbol.asyncDispose]());
  // Redis has been emptied behind their backs.
  beforeEach(() => nearTiersHaveHeard(redis.client()));

  const left = (key: string) => redis.client().pttl(`shop:cache:{${key}}`);
  /** A loaded machine may be a minute late, never early. */
  const expectTtl = async (key: string, ms: number) => {
    const found = await left(key);
    expect(found).toBeLessThanOrEqual(ms);
    expect(found).toBeGreaterThan(ms - minute);
  };

  it('is what the call says, the loader, or the module, in this order', async () => {
    await app.cache.getOrSet('module', () => 1);
    await expectTtl('module', 10 * minute);
    await app.cache.getOrSet('call', () => 1, { ttl: '2h' });
    await expectTtl('call', 2 * hour);
    await app.cache.getOrSet('loader', ({ setTtl }) => setTtl, { ttl: '2h', unless: () => true });
    await app.cache.getOrSet(
      'loader',
      (context) => {
        context.setTtl('3h');
        return 1;
      },
      { ttl: '2h' },
    );
    await expectTtl('loader', 3 * hour);
  });

  it('is shorter for a loaded null or undefined, unless the loader says how long', async () => {
    await app.cache.getOrSet('null', () => null);
    expect(await left('null')).toBeLessThanOrEqual(30_000);
    await app.cache.getOrSet('undefined', () => undefined, { nullTtl: '20s' });
    expect(await left('undefined')).toBeLessThanOrEqual(20_000);
    await app.cache.getOrSet('short', () => null, { ttl: '5s' });
    expect(await left('short')).toBeLessThanOrEqual(5_000);
    await app.cache.getOrSet('said', (context) => {
      context.setTtl('1h');
      return null;
    });
    await expectTtl('said', hour);
    const load = jest.fn(() => null);
    await app.cache.getOrSet('none', load, { nullTtl: false });
    await app.cache.getOrSet('none', load, { nullTtl: false });
    expect(load).toHaveBeenCalledTimes(2);
    await app.cache.set('set', null, { ttl: '1h' });
    await expectTtl('set', hour);
  });

  it('never exceeds maxTtl: what a call says beyond it is refused, what a loader says is cut', async () => {
    await expect(app.cache.set('a', 1, { ttl: '8d' })).rejects.toThrow(OptionsError);
    await expect(app.cache.getOrSet('a', () => 1, { ttl: '8d' })).rejects.toThrow(OptionsError);
    await app.cache.getOrSet('a', (context) => {
      context.setTtl('300d');
      return 1;
    });
    await expectTtl('a', 7 * 24 * hour);
    await expect(startCache(nowhere(), { maxTtl: '1m', ttl: '2m' })).rejects.toThrow(/RedisCacheModule\.ttl/);
  });

  it('begins anew with each read when it slides, up to maxTtl', async () => {
    await using sliding = await startCache(redis.connection, { jitter: 0, maxTtl: '3h' });
    const { cache } = sliding;
    await cache.set('a', 1, { ttl: '1h', sliding: true });
    const client = redis.client();
    await client.pexpire('shop:cache:{a}', 10 * minute); // as if 50 minutes had gone by
    expect(await cache.get('a')).toBe(1);
    await eventually(async () => {
      expect(await left('a')).toBeGreaterThan(59 * minute);
    });
    const entry = await cache.getEntry('a');
    expect(entry?.ttl).toBeGreaterThan(58 * minute);
    expect(entry?.expiresAt).toBeLessThanOrEqual((entry?.createdAt ?? 0) + 3 * hour);
    // As if it had been stored 2.5 hours ago: half an hour is left in all.
    const bytes = await client.getBuffer('shop:cache:{a}');
    if (bytes === null) throw new Error('it has gone');
    bytes.writeUIntBE(bytes.readUIntBE(16, 6) - 2.5 * hour, 10, 6);
    bytes.writeUIntBE(bytes.readUIntBE(16, 6) - 2.5 * hour, 16, 6);
    await client.set('shop:cache:{a}', bytes, 'PX', 10 * minute);
    expect(await cache.get('a')).toBe(1);
    await eventually(async () => {
      expect(await left('a')).toBeGreaterThan(25 * minute);
    });
    expect(await left('a')).toBeLessThanOrEqual(30 * minute);
    await cache.getOrSet('b', () => 1, { ttl: '1h', sliding: true });
    await expectTtl('b', hour);
  });

  it('is renewed by touch, with the time for which it may be stale', async () => {
    await app.cache.set('a', 1, { ttl: '1m', staleIfError: '1h' });
    const before = await app.cache.getEntry('a');
    expect(await app.cache.touch('a', { ttl: '2h' })).toBe(true);
    await expectTtl('a', 3 * hour);
    const entry = await app.cache.getEntry('a');
    expect(entry?.createdAt).toBe(before?.createdAt);
    expect(entry?.ttl).toBeGreaterThan(119 * minute);
    expect(await app.cache.touch('none')).toBe(false);
    await app.cache.markStale('a');
    expect(await app.cache.touch('a')).toBe(false);
    expect(await app.cache.has('a')).toBe(false);
  });

  it('tells what is known of an entry', async () => {
    await app.cache.set('a', { seats: 9 }, { ttl: '1h', staleWhileRevalidate: '30m', tags: ['x', 'y'] });
    const entry = await app.cache.getEntry('a');
    expect(entry).toMatchObject({ value: { seats: 9 }, tier: 'redis', stale: false, tags: ['x', 'y'] });
    expect(entry?.ttl).toBeGreaterThan(59 * minute);
    expect(entry?.ttl).toBeLessThanOrEqual(hour);
    expect(entry?.age).toBeGreaterThanOrEqual(0);
    expect(entry?.age).toBeLessThan(minute);
    expect((entry?.expiresAt ?? 0) - (entry?.createdAt ?? 0)).toBe(90 * minute);
  });

  it('is not asked of the cache when the condition says so', async () => {
    const load = jest.fn(() => 1);
    for (const condition of [false, () => false]) await app.cache.getOrSet('a', load, { condition });
    expect(load).toHaveBeenCalledTimes(2);
    expect(await app.cache.has('a')).toBe(false);
    await app.cache.getOrSet('a', load, { condition: () => true });
    await app.cache.getOrSet('a', load, { condition: true });
    expect(load).toHaveBeenCalledTimes(3);
    expect(await app.cache.getOrSetMany(['a', 'b'], (keys) => keys, { condition: false })).toEqual(['a', 'b']);
  });

  it('takes what its schema refuses for a miss, and gives what the schema makes of the rest', async () => {
    const flight: StandardSchemaV1<unknown, { id: number; checked: true }> = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: (value) =>
          typeof value === 'object' && value !== null && 'id' in value && typeof value.id === 'number'
            ? { value: { id: value.id, checked: true } }
            : { issues: [{ message: 'no flight' }] },
      },
    };
    await app.cache.set('good', { id: 1 });
    await app.cache.set('bad', { name: 'of an earlier version' });
    expect(await app.cache.get('good', { schema: flight })).toEqual({ id: 1, checked: true });
    expect(await app.cache.get('bad', { schema: flight })).toBeUndefined();
    expect(await app.cache.has('bad', { schema: flight })).toBe(false);
    expect(await app.cache.getMany(['good', 'bad'], { schema: flight })).toEqual([{ id: 1, checked: true }, undefined]);
    const load = jest.fn(() => ({ id: 2 }));
    expect(await app.cache.getOrSet('bad', load, { schema: flight })).toEqual({ id: 2 });
    expect(await app.cache.getOrSet('bad', load, { schema: flight })).toEqual({ id: 2, checked: true });
    expect(load).toHaveBeenCalledTimes(1);
    expect(app.cache.stats().mismatches).toBe(4);
  });

  it('packs large values, and leaves small ones as they are', async () => {
    const client = redis.client();
    await app.cache.set('small', 'x'.repeat(900));
    await app.cache.set('large', 'x'.repeat(2_000));
    expect(await client.strlen('shop:cache:{small}')).toBeGreaterThan(900);
    expect(await client.strlen('shop:cache:{large}')).toBeLessThan(200);
    expect(await app.cache.getMany(['small', 'large'])).toEqual(['x'.repeat(900), 'x'.repeat(2_000)]);
  });

  it('counts a value of 5 MB, a function and a class, and returns them', async () => {
    class Flight {
      constructor(readonly id: number) {}
    }
    const before = app.cache.stats().unsupported;
    const large = 'x'.repeat(5 * 1024 * 1024);
    expect(await app.cache.getOrSet('large', () => large)).toBe(large);
    const loader = () => 1;
    expect(await app.cache.getOrSet('function', () => loader)).toBe(loader);
    expect(app.cache.stats().unsupported).toBe(before + 2);
    expect(await app.cache.getMany(['large', 'function'])).toEqual([undefined, undefined]);
    expect(await app.cache.getOrSet('class', () => new Flight(1))).toBeInstanceOf(Flight);
    expect(await app.cache.get('class')).toEqual({ id: 1 }); // a plain object, from either tier
  });
});
