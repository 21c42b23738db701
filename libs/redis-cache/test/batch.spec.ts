import { randomBytes } from 'node:crypto';
import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import { callsOf, gate, startCache, type CacheApp } from './app.js';

describeOn(standalone, cluster)('loads of one tick', (redis) => {
  let warn: jest.SpiedFunction<Logger['warn']>;
  beforeEach(() => {
    warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
  });
  afterEach(() => {
    warn.mockRestore();
  });

  const names = (count: number) => Array.from({ length: count }, (_, number) => `key-${number}`);
  const count = (operations: readonly string[], operation: string) =>
    operations.filter((one) => one === operation).length;
  /** How many scripts it takes for so many values: on a Cluster a script reaches one slot. */
  const scripts = (values: number, perScript: number) =>
    redis.topology === 'cluster' ? values : Math.ceil(values / perScript);

  async function begin(app: CacheApp): Promise<void> {
    // The version of the cache is there then.
    await app.cache.set('begun', true);
  }

  it('share the script that opens them, and the one that stores their values', async () => {
    await using app = await startCache(redis.connection);
    await begin(app);
    const keys = names(70);
    const calls = await callsOf(app, async () => {
      const values = await Promise.all(keys.map((key) => app.cache.getOrSet(key, () => `value of ${key}`)));
      expect(values).toEqual(keys.map((key) => `value of ${key}`));
    });
    expect(count(calls, 'cache.lease')).toBe(scripts(70, 32));
    expect(count(calls, 'cache.store')).toBe(scripts(70, 32));
    expect(await app.cache.getMany(keys)).toEqual(keys.map((key) => `value of ${key}`));
    expect(app.cache.stats()).toMatchObject({ loads: 70, stores: 71, errors: 0 });
  });

  it('send large values in several scripts, so that Redis serves others in between', async () => {
    await using app = await startCache(redis.connection, { compression: false });
    await begin(app);
    const values = new Map(names(7).map((key) => [key, randomBytes(30_000).toString('base64')]));
    const keys = [...values.keys()];
    const calls = await callsOf(app, () =>
      Promise.all(keys.map((key) => app.cache.getOrSet(key, () => values.get(key)))),
    );
    expect(count(calls, 'cache.store')).toBe(scripts(7, 3));
    expect(await app.cache.getMany(keys)).toEqual([...values.values()]);
  });

  it('are opened and stored one by one where a key holds something else', async () => {
    await using app = await startCache(redis.connection);
    await begin(app);
    await redis.client().rpush('shop:cache:{key-1}', 'of somebody else');
    await redis.client().rpush('shop:cache-lease:{key-2}', 'of somebody else');
    const keys = names(4);
    expect(await Promise.all(keys.map((key) => app.cache.getOrSet(key, () => `value of ${key}`)))).toEqual(
      keys.map((key) => `value of ${key}`),
    );
    expect(await redis.client().type('shop:cache:{key-1}')).toBe('list');
    expect(await redis.client().type('shop:cache-lease:{key-2}')).toBe('list');
    expect(await app.cache.getMany(['key-0', 'key-3'])).toEqual(['value of key-0', 'value of key-3']);
    expect(await app.cache.get('key-2')).toBeUndefined();
    expect(app.cache.stats()).toMatchObject({ loads: 4, stores: 3 });
  });

  it('are not stored where a key became something else meanwhile; the others are', async () => {
    await using app = await startCache(redis.connection);
    await begin(app);
    const keys = names(3);
    const loading = gate();
    const loaded = Promise.all(
      keys.map((key) =>
        app.cache.getOrSet(key, async () => {
          await loading.opened;
          return `value of ${key}`;
        }),
      ),
    );
    await eventually(() => app.cache.stats().loads === 3);
    await redis.client().rpush('shop:cache:{key-1}', 'of somebody else');
    loading.open();
    expect(await loaded).toEqual(keys.map((key) => `value of ${key}`));
    expect(await redis.client().type('shop:cache:{key-1}')).toBe('list');
    expect(await app.cache.getMany(['key-0', 'key-2'])).toEqual(['value of key-0', 'value of key-2']);
  });

  it('end each for itself: what another process has deleted meanwhile is not stored, the others are', async () => {
    await using app = await startCache(redis.connection);
    await using other = await startCache(redis.connection);
    await begin(app);
    const keys = names(4);
    const loading = gate();
    const loaded = Promise.all(
      keys.map((key) =>
        app.cache.getOrSet(key, async () => {
          await loading.opened;
          return `value of ${key}`;
        }),
      ),
    );
    await eventually(() => app.cache.stats().loads === 4);
    await other.cache.delete('key-1');
    await other.cache.set('key-2', 'set meanwhile');
    loading.open();
    expect(await loaded).toEqual(keys.map((key) => `value of ${key}`));
    expect(await app.cache.getMany(keys)).toEqual(['value of key-0', undefined, 'set meanwhile', 'value of key-3']);
    expect(app.cache.stats()).toMatchObject({ staleLoads: 2 });
  });

  it('wait each for itself: what another process loads is waited for, the others are loaded', async () => {
    await using app = await startCache(redis.connection);
    await using other = await startCache(redis.connection);
    await begin(app);
    const loading = gate();
    const elsewhere = other.cache.getOrSet('key-1', async () => {
      await loading.opened;
      return 'of the other process';
    });
    await eventually(() => other.cache.stats().loads === 1);
    const [first, second, third] = names(3).map((key) => app.cache.getOrSet(key, () => `value of ${key}`));
    expect(await Promise.all([first, third])).toEqual(['value of key-0', 'value of key-2']);
    loading.open();
    expect(await Promise.all([elsewhere, second])).toEqual(['of the other process', 'of the other process']);
    expect(app.cache.stats().loads).toBe(2);
  });

  it('do as values do that are set: by one script, and each for itself', async () => {
    await using app = await startCache(redis.connection);
    await begin(app);
    const keys = names(70);
    const calls = await callsOf(app, () => app.cache.setMany(keys.map((key) => [key, `value of ${key}`])));
    expect(count(calls, 'cache.set')).toBe(scripts(70, 32));
    expect(await app.cache.getMany(keys)).toEqual(keys.map((key) => `value of ${key}`));

    await app.cache.delete('key-1');
    await redis.client().rpush('shop:cache:{key-1}', 'of somebody else');
    const outcomes = await Promise.allSettled(names(3).map((key) => app.cache.set(key, 'anew')));
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(outcomes[1]).toMatchObject({ reason: { reason: 'WRONGTYPE' } });
    expect(await app.cache.getMany(['key-0', 'key-2'])).toEqual(['anew', 'anew']);
  });
});
