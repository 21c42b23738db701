import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { RedisCommandError } from '@redstart/redis-core';
import { cluster, describeOn, standalone } from '@redstart/redis-testing';
import { startCache } from './app.js';

describeOn(standalone, cluster)('bytes that are not ours', (redis) => {
  let warn: jest.SpiedFunction<Logger['warn']>;
  beforeEach(() => {
    warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
  });
  afterEach(() => {
    warn.mockRestore();
  });

  const header = Buffer.from([0xf9, 0, ...Array<number>(12).fill(1)]);
  it.each([
    ['plain text', Buffer.from('hello')],
    ['nothing', Buffer.alloc(0)],
    ['half a header', header.subarray(0, 7)],
    ['a header without a value', header],
    ['broken JSON', Buffer.concat([header, Buffer.from('{"a":')])],
    ['damaged compression', Buffer.concat([header, Buffer.from([0xc1, 1, 0, 0, 0, 9, 1, 2, 3])])],
  ])('takes %s for a miss, deletes it and counts it', async (_, bytes) => {
    await using app = await startCache(redis.connection);
    const client = redis.client();
    await client.set('shop:cache:{a}', bytes);
    expect(await app.cache.get('a')).toBeUndefined();
    expect(await client.exists('shop:cache:{a}')).toBe(0);
    await client.set('shop:cache:{a}', bytes);
    expect(await app.cache.getOrSet('a', () => 'loaded')).toBe('loaded');
    expect(await app.cache.get('a')).toBe('loaded');
    expect(app.cache.stats().corrupt).toBe(2);
    expect(warn.mock.calls.join()).toContain('shop:cache:{a}');
  });

  it('leaves an entry of a newer version alone', async () => {
    await using app = await startCache(redis.connection);
    const newer = Buffer.from([0xfa, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    const client = redis.client();
    await client.set('shop:cache:{a}', newer);
    expect(await app.cache.getOrSet('a', () => 'loaded')).toBe('loaded');
    expect(await client.getBuffer('shop:cache:{a}')).toEqual(newer);
    await app.cache.set('a', 'ours');
    expect(await app.cache.get('a')).toBe('ours');
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
