import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { RedisUnavailableError } from '@redstart/redis-core';
import { describeOn, eventually, FaultProxy, standalone } from '@redstart/redis-testing';
import { hold, ownTime, startCache } from './app.js';

describeOn(standalone)('the order of the calls of one process', (redis) => {
  let proxy: FaultProxy;
  beforeEach(async () => {
    proxy = await FaultProxy.start(redis.server);
  });
  afterEach(async () => {
    jest.restoreAllMocks();
    await proxy.stop();
  });

  /** A cache behind the proxy with a `set` on its way, whose script Redis does not know any more. */
  async function forgottenSet(budget = 5_000) {
    const app = await startCache({ url: proxy.url }, { budget });
    await app.cache.set('z', 'before');
    await redis.client().script('FLUSH');
    const requests = hold(app, 'requests', 'cache.set');
    const set = app.cache.set('z', 'old');
    set.catch(() => undefined); // looked at later
    await eventually(() => requests.count === 1); // it knows its versions, and is about to be sent
    proxy.commands.clear();
    const fault = proxy.blackhole();
    requests.release();
    await eventually(() => fault.injected > 0);
    return { app, cache: app.cache, fault, set };
  }

  it('deletes what an earlier set stores, though Redis has forgotten its script', async () => {
    const { app, cache, fault, set } = await forgottenSet();
    await using _ = app;
    const deletion = cache.delete('z', 'y');
    fault.stop();
    await Promise.all([set, deletion]);
    expect(proxy.commands.get('EVAL')).toBe(1); // Redis had to be told the script
    expect(await cache.get('z')).toBeUndefined();
    expect(await redis.client().exists('shop:cache:{z}')).toBe(0);
  });

  it('stores the last of several sets, and sends none that has been outdated in line', async () => {
    const { app, cache, fault, set } = await forgottenSet();
    await using _ = app;
    const sent = cache.stats().stores;
    const later = [cache.set('z', 'newer'), cache.delete('z'), cache.set('z', 'newest')];
    fault.stop();
    await Promise.all([set, ...later]);
    expect(await cache.get('z')).toBe('newest');
    expect(cache.stats().stores - sent).toBe(2);
  });

  it('lets a later set win when another process has told Redis the script meanwhile', async () => {
    await using app = await startCache({ url: proxy.url }, { budget: 5_000 });
    await using elsewhere = await startCache(redis.connection);
    await app.cache.set('z', 'before');
    await redis.client().script('FLUSH');
    proxy.commands.clear();
    const slow = proxy.latency(200);
    const old = app.cache.set('z', 'old');
    await eventually(() => proxy.commands.get('EVALSHA') === 1, { every: 1 });
    await elsewhere.cache.set('y', 1);
    await Promise.all([old, app.cache.set('z', 'new')]);
    expect(slow.injected).toBeGreaterThan(0);
    slow.stop();
    expect(await app.cache.get('z')).toBe('new');
  });

  it('sends deletions at once while no set of their key is in flight, also several of one key', async () => {
    await using app = await startCache({ url: proxy.url }, { budget: 5_000 });
    const { cache } = app;
    await cache.set('z', 'before');
    proxy.commands.clear();
    using replies = hold(app, 'replies', 'cache.delete');
    const deletions = [cache.delete('z'), cache.delete('z'), cache.delete('y', 'x')];
    await eventually(() => replies.count === 4); // none waits for another's reply
    expect(proxy.commands.get('UNLINK')).toBe(4);
    replies.release();
    await Promise.all(deletions);
  });

  it('does not hold up deletions of other keys', async () => {
    const { app, cache, fault, set } = await forgottenSet();
    await using _ = app;
    using replies = hold(app, 'replies', 'cache.set');
    fault.stop();
    await set; // was called before
    proxy.commands.clear();
    const held = cache.set('z', 'held');
    await eventually(() => replies.count === 1);
    const both = cache.delete('z', 'y');
    await cache.delete('y');
    expect(proxy.commands.get('UNLINK')).toBe(2); // of y
    replies.release();
    await Promise.all([held, both]);
    expect(proxy.commands.get('UNLINK')).toBe(3);
    expect(await cache.get('z')).toBeUndefined();
  });

  it('waits for an earlier set within the budget, and sends the deletion all the same', async () => {
    jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    const budget = 3_000;
    const { app, cache, fault, set } = await forgottenSet(budget);
    await using _ = app;
    using waited = ownTime();
    await expect(cache.delete('z')).rejects.toThrow(RedisUnavailableError);
    expect(waited.ms).toBeLessThan(2 * budget);
    await expect(set).rejects.toThrow(RedisUnavailableError);
    fault.stop();
    await eventually(async () => (await redis.client().exists('shop:cache:{z}')) === 0);
  });
});
