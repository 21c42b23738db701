import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { RedisCommandError } from '@redstart/redis-core';
import { cluster, describeOn, standalone } from '@redstart/redis-testing';
import { startCache, type CacheApp } from './app.js';
import { nearTiersHaveHeard } from './near-barrier.js';

describeOn(standalone, cluster)('bytes that are not ours', (redis) => {
  let warn: jest.SpiedFunction<Logger['warn']>;
  beforeEach(() => {
    warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
  });
  afterEach(() => {
    warn.mockRestore();
  });

  /** What stands in front of the payload of `"x"` in an entry of this version. */
  async function frontOf(app: CacheApp): Promise<Buffer> {
    await app.cache.set('a', 'x');
    const bytes = await redis.client().getBuffer('shop:cache:{a}');
    expect(bytes?.subarray(-3).toString()).toBe('"x"');
    return bytes?.subarray(0, -3) ?? Buffer.alloc(0);
  }

  it.each<[string, (front: Buffer) => Buffer]>([
    ['plain text', () => Buffer.from('hello')],
    ['nothing', () => Buffer.alloc(0)],
    ['half a header', (front) => front.subarray(0, 7)],
    ['a header without its versions', (front) => front.subarray(0, 33)],
    ['tags that are not there', (front) => Buffer.concat([front.subarray(0, 2), Buffer.of(9), front.subarray(3)])],
    ['everything but a value', (front) => front],
    ['broken JSON', (front) => Buffer.concat([front, Buffer.from('{"a":')])],
    ['damaged compression', (front) => Buffer.concat([front, Buffer.from([0xc1, 1, 0, 0, 0, 9, 1, 2, 3])])],
    ['a bomb', (front) => Buffer.concat([front, Buffer.from([0xc1, 1, 0xff, 0xff, 0xff, 0xff, 1, 2, 3])])],
  ])('takes %s for a miss, deletes it and counts it', async (_, damage) => {
    await using app = await startCache(redis.connection);
    const client = redis.client();
    const bytes = damage(await frontOf(app));
    await client.set('shop:cache:{a}', bytes);
    expect(await app.cache.get('a')).toBeUndefined();
    expect(await client.exists('shop:cache:{a}')).toBe(0);
    await client.set('shop:cache:{a}', bytes);
    expect(await app.cache.getOrSet('a', () => 'loaded')).toBe('loaded');
    expect(await app.cache.get('a')).toBe('loaded');
    await client.set('shop:cache:{a}', bytes);
    await nearTiersHaveHeard(client);
    expect(await app.cache.getMany(['a', 'b'])).toEqual([undefined, undefined]);
    expect(app.cache.stats().corrupt).toBe(3);
    expect(warn.mock.calls.join()).toContain('"shop:cache:{…}" is discarded');
  });

  it('leaves an entry of a newer version alone', async () => {
    await using app = await startCache(redis.connection);
    const newer = Buffer.from([0xfb, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    const client = redis.client();
    await client.set('shop:cache:{a}', newer);
    expect(await app.cache.getOrSet('a', () => 'loaded')).toBe('loaded');
    expect(await client.getBuffer('shop:cache:{a}')).toEqual(newer);
    await app.cache.set('a', 'ours');
    expect(await app.cache.get('a')).toBe('ours');
  });

  it('replaces an entry of an older version', async () => {
    await using app = await startCache(redis.connection);
    await redis.client().set('shop:cache:{a}', Buffer.from([0xf9, 0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 49]));
    expect(await app.cache.get('a')).toBeUndefined();
    expect(await app.cache.getOrSet('a', () => 'loaded')).toBe('loaded');
    expect(await app.cache.get('a')).toBe('loaded');
    expect(app.cache.stats().corrupt).toBe(0);
  });

  it('takes a version that is no number for none, and makes one', async () => {
    await using app = await startCache(redis.connection);
    await app.cache.set('a', 'before');
    await redis.client().set('shop:cache:version', 'theirs');
    expect(await app.cache.get('a')).toBeUndefined();
    expect(await app.cache.getOrSet('a', () => 'loaded')).toBe('loaded');
    expect(await app.cache.get('a')).toBe('loaded');
  });

  it('takes another type for a miss, warns, and neither deletes nor overwrites it', async () => {
    await using app = await startCache(redis.connection);
    const client = redis.client();
    await client.rpush('shop:cache:{a}', 'theirs');
    expect(await app.cache.get('a')).toBeUndefined();
    expect(await app.cache.getOrSet('a', () => 'loaded')).toBe('loaded');
    await expect(app.cache.set('a', 'ours')).rejects.toThrow(RedisCommandError);
    expect(await client.lrange('shop:cache:{a}', 0, -1)).toEqual(['theirs']);
    expect(warn.mock.calls.join()).toContain('WRONGTYPE');
  });
});
