import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { OptionsError, UnsupportedValueError } from '@redstart/redis-core';
import { cluster, describeOn, eventually, sentinel, standalone } from '@redstart/redis-testing';
import { nowhere, startCache } from './app.js';

describeOn(
  standalone,
  cluster,
  sentinel,
)('values', (redis) => {
  it('tells a cached null and a cached undefined from a miss', async () => {
    await using app = await startCache(redis.connection);
    const { cache } = app;
    await cache.set('null', null);
    await cache.set('undefined', undefined);
    expect(await cache.getEntry('null')).toMatchObject({ value: null });
    const entry = await cache.getEntry('undefined');
    expect(entry).toBeDefined();
    expect(entry?.value).toBeUndefined();
    expect(await cache.getEntry('nothing')).toBeUndefined();
    expect(await cache.has('undefined')).toBe(true);
    expect(await cache.has('nothing')).toBe(false);

    const load = jest.fn(() => undefined);
    await cache.getOrSet('loaded', load);
    await cache.getOrSet('loaded', load);
    expect(load).toHaveBeenCalledTimes(1);
  });

  it('gives back what JSON loses, large and small, packed and not', async () => {
    await using app = await startCache(redis.connection);
    const { cache } = app;
    const value = { at: new Date(0), seats: new Map([[1, 2n]]), open: undefined, text: 'x'.repeat(20_000) };
    await cache.set('flight', value);
    expect(await cache.get('flight')).toEqual(value);
    expect(await redis.client().strlen('shop:cache:{flight}')).toBeLessThan(1_000);
  });

  it('gives every key a ttl, with the jitter downwards only', async () => {
    await using app = await startCache(redis.connection, { ttl: '1h', jitter: 0.5 });
    const names = Array.from({ length: 40 }, (_, index) => `k${index}`);
    await Promise.all(names.map((name) => app.cache.set(name, 1)));
    const client = redis.client();
    const ttls = await Promise.all(names.map((name) => client.pttl(`shop:cache:{${name}}`)));
    expect(Math.max(...ttls)).toBeLessThanOrEqual(3_600_000);
    expect(Math.min(...ttls)).toBeGreaterThan(1_790_000);
    expect(Math.max(...ttls) - Math.min(...ttls)).toBeGreaterThan(600_000);
    const entry = await app.cache.getEntry('k0');
    const lifetime = (entry?.expiresAt ?? 0) - (entry?.createdAt ?? 0);
    expect(lifetime - (ttls[0] ?? 0)).toBeGreaterThanOrEqual(0);
    expect(lifetime - (ttls[0] ?? 0)).toBeLessThan(10_000);
  });

  it('dates a loaded value back to the beginning of its load, by the clock of Redis', async () => {
    await using app = await startCache(redis.connection);
    const client = redis.client(); // every node runs on this machine, by one clock
    let duringLoad = 0;
    await app.cache.getOrSet('a', async () => {
      const now = async () => {
        const [seconds, micros] = await client.time();
        return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
      };
      duringLoad = await now();
      await eventually(async () => (await now()) > duringLoad + 1, { every: 1 });
    });
    const entry = await app.cache.getEntry('a');
    expect(entry?.createdAt).toBeLessThanOrEqual(duringLoad);
    expect(entry?.createdAt).toBeGreaterThan(duringLoad - 60_000);
  });

  it('takes a ttl per call', async () => {
    await using app = await startCache(redis.connection);
    await app.cache.getOrSet('a', () => 1, { ttl: '2h' });
    expect(await redis.client().pttl('shop:cache:{a}')).toBeGreaterThan(6_000_000);
    await expect(app.cache.set('a', 1, { ttl: 0 })).rejects.toThrow(OptionsError);
  });

  it('returns a value that is too large, and does not keep it', async () => {
    await using app = await startCache(redis.connection, { maxValueBytes: 100 });
    const large = 'x'.repeat(200);
    expect(await app.cache.getOrSet('large', () => large)).toBe(large);
    expect(await redis.client().exists('shop:cache:{large}')).toBe(0);
    expect(app.cache.stats().unsupported).toBe(1);
    await expect(app.cache.set('large', large)).rejects.toThrow(UnsupportedValueError);
  });

  it('returns a value that can not be read without an error, and does not keep it', async () => {
    const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    await using app = await startCache(redis.connection);
    const thrown = new Error('secret');
    const unreadable = [
      {
        toJSON: () => {
          throw thrown;
        },
      },
      {
        get name(): string {
          throw thrown;
        },
      },
      new Proxy(
        { name: 1 },
        {
          ownKeys: () => {
            throw thrown;
          },
        },
      ),
    ];
    for (const [index, value] of unreadable.entries()) {
      expect(await app.cache.getOrSet(['key', index], () => value)).toBe(value);
      expect(await redis.client().exists(`shop:cache:{key:${index}}`)).toBe(0);
      expect(app.cache.stats().unsupported).toBe(index + 1);
    }
    expect(warn.mock.calls.join()).toContain('"shop:cache:{key:…}" is not cached');
    expect(warn.mock.calls.join()).not.toContain('key:0');
    expect(warn.mock.calls.join()).not.toContain('secret');
    warn.mockRestore();
  });

  it('keeps out what `unless` refuses', async () => {
    await using app = await startCache(redis.connection);
    const load = jest.fn((): string | null => null);
    const unless = (value: string | null) => value === null;
    await app.cache.getOrSet('none', load, { unless });
    await app.cache.getOrSet('none', load, { unless });
    expect(load).toHaveBeenCalledTimes(2);
  });

  it('deletes several keys, wherever they live', async () => {
    await using app = await startCache(redis.connection);
    const { cache } = app;
    await Promise.all(['a', 'b', 'c'].map((key) => cache.set(key, key)));
    await cache.delete('a', 'b');
    expect(await Promise.all(['a', 'b', 'c'].map((key) => cache.get(key)))).toEqual([undefined, undefined, 'c']);
  });

  it('keeps namespaces and named caches apart', async () => {
    await using app = await startCache(redis.connection);
    const users = app.cache.namespace('users');
    await users.set('42', 'user');
    await app.cache.set('users:42', 'plain');
    expect(await users.get('42')).toBe('user');
    await app.cache.namespace('user').delete('s:42', '42');
    expect(await users.get('42')).toBe('user');
    expect(await redis.client().exists('shop:cache:users:{42}')).toBe(1);
  });

  it('lets the last of several calls win, also when an earlier one packs longer', async () => {
    await using app = await startCache(redis.connection);
    const { cache } = app;
    await Promise.all([cache.set('a', 'x'.repeat(300_000)), cache.set('a', 'small')]);
    expect(await cache.get('a')).toBe('small');
    await Promise.all([cache.set('b', 'x'.repeat(300_000)), cache.delete('b')]);
    expect(await cache.has('b')).toBe(false);
  });

  it('counts', async () => {
    await using app = await startCache(redis.connection);
    const { cache } = app;
    await cache.getOrSet('a', () => 1);
    await cache.getOrSet('a', () => 1);
    expect(cache.stats()).toMatchObject({ hits: 1, misses: 1, loads: 1, stores: 1, errors: 0, loadErrors: 0 });
  });
});

describe('options', () => {
  it.each([
    [{ ttl: '5 minutes' }, /RedisCacheModule\.ttl/],
    [{ jitter: 2 }, /RedisCacheModule\.jitter/],
    [{ tll: 5 }, /RedisCacheModule\.tll.*not an option/],
    [{ name: 'a:b' }, /must not hold ':'/],
  ])('refuses %p', async (options, message) => {
    // What a caller without types may write.
    await expect(startCache(nowhere(), options as object)).rejects.toThrow(message);
  });
});
