import { jest } from '@jest/globals';
import { getRedisConnectionToken, type RedisConnection } from '@redstart/redis-core';
import { cluster, describeOn, eventually, FaultProxy, standalone } from '@redstart/redis-testing';
import { gate, startCache, type CacheApp } from './app.js';

/** Whoever is not woken waits for longer than any of these specs may take. */
const endless = { lease: '10m', waitTimeout: '10m' } as const;

describeOn(standalone, cluster)('who waits for a load is woken', (redis) => {
  let here: CacheApp;
  let elsewhere: CacheApp;
  beforeEach(async () => {
    here = await startCache(redis.connection, endless);
    elsewhere = await startCache(redis.connection, endless);
  });
  afterEach(async () => {
    jest.restoreAllMocks();
    await here[Symbol.asyncDispose]();
    await elsewhere[Symbol.asyncDispose]();
  });

  /** A load in `here`, and a call elsewhere that waits for it and for nothing but a message: it has looked once more since it listens. */
  async function awaited() {
    const started = gate();
    const end = gate<() => string>();
    const first = here.cache.getOrSet('a', async () => {
      started.open();
      return (await end.opened)();
    });
    first.catch(() => undefined); // looked at where it matters
    await started.opened;
    const answers = watch(elsewhere, 'cache.lease');
    const waiting = elsewhere.cache.getOrSet('a', () => 'mine');
    await eventually(() => answers.count === 2);
    jest.restoreAllMocks();
    return { first, finish: end.open, waiting };
  }

  it('by the value that the load stores', async () => {
    const { finish, waiting } = await awaited();
    finish(() => 'loaded');
    expect(await waiting).toBe('loaded');
  });

  it('by a set that comes before its end', async () => {
    const { first, finish, waiting } = await awaited();
    await here.cache.set('a', 'set');
    expect(await waiting).toBe('set');
    finish(() => 'old');
    await first;
  });

  it('by the end of a load whose lease has been lost: its value is not stored', async () => {
    const { first, finish, waiting } = await awaited();
    await redis.client().unlink('shop:cache-lease:{a}');
    finish(() => 'old');
    expect(await first).toBe('old');
    expect(await waiting).toBe('mine');
  });

  it('by the failure of a load whose lease has been lost', async () => {
    const { first, finish, waiting } = await awaited();
    await redis.client().unlink('shop:cache-lease:{a}');
    finish(() => {
      throw new Error('database down');
    });
    await expect(first).rejects.toThrow('database down');
    expect(await waiting).toBe('mine');
  });

  it('by the end of a write that has taken the lease over', async () => {
    const { first, finish, waiting } = await awaited();
    expect(await here.cache.writeThrough('a', 'written', () => undefined)).toBe(true);
    expect(await waiting).toBe('written');
    finish(() => 'old');
    await first;
  });

  it('and what it reads then is nothing for a caller that has asked after a deletion', async () => {
    const { finish, waiting } = await awaited();
    const commandsOfARead = redis.topology === 'cluster' ? 2 : 1;
    const read = watch(elsewhere, 'cache.get', commandsOfARead);
    finish(() => 'old');
    await eventually(() => read.count === commandsOfARead);
    await here.cache.delete('a');
    const { misses } = elsewhere.cache.stats();
    const late = elsewhere.cache.getOrSet('a', () => 'new');
    await eventually(() => elsewhere.cache.stats().misses > misses);
    read.release();
    expect(await waiting).toBe('old'); // it had asked before
    expect(await late).toBe('new');
  });
});

describeOn(standalone)('a lease whose answer was lost', (redis) => {
  it('is taken back by the process that it was given to', async () => {
    await using proxy = await FaultProxy.start(redis.server);
    await using app = await startCache({ url: proxy.url }, endless);
    await app.cache.getOrSet('before', () => 'the scripts and the version are known then');
    using fault = proxy.dropReply('EVALSHA', { thenReset: true });
    expect(await app.cache.getOrSet('a', () => 'loaded')).toBe('loaded');
    expect(fault.injected).toBe(1);
    await eventually(async () => {
      expect(await app.cache.getOrSet('a', () => 'again')).toMatch(/loaded|again/);
      expect(await redis.client().exists('shop:cache:{a}')).toBe(1);
    });
  });
});

/** Counts the answers to one operation, from now on, and has the first ones wait until they are released. */
function watch({ context }: CacheApp, operation: string, held = 0) {
  const connection = context.get<RedisConnection>(getRedisConnectionToken());
  const send = connection.call.bind(connection);
  const released = gate();
  const answers = { count: 0, release: released.open };
  jest.spyOn(connection, 'call').mockImplementation(async (call, ...rest) => {
    const reply = await send(call, ...rest);
    if (call.operation !== operation) return reply;
    answers.count += 1;
    if (answers.count <= held) await released.opened;
    return reply;
  });
  return answers;
}
