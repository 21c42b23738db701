import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { getRedisConnectionToken, type RedisConnection } from '@redstart/redis-core';
import { cluster, describeOn, eventually, sentinel, standalone } from '@redstart/redis-testing';
import { gate, hold, startCache, type CacheApp } from './app.js';

describeOn(
  standalone,
  cluster,
  sentinel,
)('between two commands of one call', (redis) => {
  /** The value and the version that it hangs on. */
  const commandsOfARead = () => (redis.topology === 'cluster' ? 2 : 1);
  let here: CacheApp;
  let elsewhere: CacheApp;
  beforeEach(async () => {
    here = await startCache(redis.connection, { budget: '10s', lease: '3s' });
    elsewhere = await startCache(redis.connection);
  });
  afterEach(async () => {
    jest.restoreAllMocks();
    await here[Symbol.asyncDispose]();
    await elsewhere[Symbol.asyncDispose]();
  });

  it('gives each caller a copy of its own of what another process has stored meanwhile', async () => {
    using replies = hold(here, 'replies', 'cache.get');
    const load = jest.fn(() => ({ seats: 1 }));
    const calls = Array.from({ length: 5 }, () => here.cache.getOrSet('flight', load));
    await eventually(() => replies.count === commandsOfARead()); // all of them have missed: they were read together
    await elsewhere.cache.set('flight', { seats: 9 });
    replies.release();
    const values = await Promise.all(calls);
    expect(load).not.toHaveBeenCalled();
    expect(values).toEqual(Array(5).fill({ seats: 9 }));
    expect(new Set(values).size).toBe(5);
  });

  it('discards damaged bytes, but not what somebody has put in their place', async () => {
    jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    await redis.client().set('shop:cache:{flight}', 'damaged');
    using replies = hold(here, 'replies', 'cache.get');
    const call = here.cache.get('flight');
    await eventually(() => replies.count === commandsOfARead());
    await elsewhere.cache.set('flight', 'new');
    replies.release();
    expect(await call).toBeUndefined();
    expect(here.cache.stats().corrupt).toBe(1);
    expect(await elsewhere.cache.get('flight')).toBe('new');
  });

  it('renews the lease of a load also while the breaker refuses everything else', async () => {
    const breaker = { failures: 1, openFor: '10m' } as const;
    await using refused = await startCache({ ...redis.connection, breaker }, { budget: '10s', lease: '3s' });
    const connection = refused.context.get<RedisConnection>(getRedisConnectionToken());
    const [begun, done] = [gate(), gate()];
    const call = refused.cache.getOrSet('flight', async () => {
      begun.open();
      await done.opened;
      return 'loaded';
    });
    await begun.opened;
    const outage = { library: 'test', operation: 'outage', budgetMs: 1 };
    await connection.call(outage, () => new Promise(() => undefined)).catch(() => undefined);
    expect(connection.breakerState).toBe('open');
    using renewals = hold(refused, 'replies', 'cache.renew');
    await eventually(() => renewals.count > 0);
    renewals.release();
    done.open();
    expect(await call).toBe('loaded');
  });

  it('does not renew the lease of somebody else’s load', async () => {
    const client = redis.client();
    const done = gate();
    using renewals = hold(here, 'requests', 'cache.renew');
    const call = here.cache.getOrSet('flight', async () => {
      await done.opened;
      return 'old';
    });
    await eventually(() => renewals.count > 0);
    await client.set('shop:cache-lease:{flight}', 'theirs', 'PX', 60_000);
    renewals.release();
    await eventually(() => renewals.answered > 0);
    expect(await client.pttl('shop:cache-lease:{flight}')).toBeGreaterThan(30_000);
    done.open();
    expect(await call).toBe('old');
    expect(await client.get('shop:cache-lease:{flight}')).toBe('theirs');
    expect(await client.exists('shop:cache:{flight}')).toBe(0);
  });
});
