import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { RedisUnavailableError } from '@redstart/redis-core';
import { eventually, RedisSentinel } from '@redstart/redis-testing';
import { ownTime, startCache } from './app.js';

const budget = 300;
const patience = { within: 40_000 };

describe('a master that is killed, and a replica that takes its place', () => {
  it('costs loads, and nothing else: no call fails or waits, and what was invalidated stays so', async () => {
    jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    // They bear with a master that stands still: this spec kills it when it is ready, and its failover does not wait for that long.
    await using redis = await RedisSentinel.start({ downAfter: 10_000 });
    const to = { sentinels: [...redis.sentinels], masterName: redis.masterName };
    await using here = await startCache(to, { budget, near: false });
    // What is stored, and how often it is loaded, is not to hang on how fast Redis answers.
    await using patient = await startCache(to, { near: false });
    await using elsewhere = await startCache(to, { near: false });
    const { cache } = here;
    await patient.cache.setMany(
      [
        ['kept', 'kept'],
        ['deleted', 'old'],
        ['tagged', 'old'],
        ['late', 'old'],
      ],
      { ttl: '1h', tags: ['x'] },
    );
    await patient.cache.set('tagged', 'old', { ttl: '1h', tags: ['y'] });
    await patient.cache.delete('deleted');
    await patient.cache.invalidateTags('y');
    // What the replica has not got, it can't know. A client waits for what it has written itself, and so for what was written before that.
    const writer = redis.client();
    await writer.set('last', 'written');
    expect(await writer.wait(1, 20_000)).toBe(1);

    const old = redis.master;
    const progress = { over: false };
    const failover = redis.failover().finally(() => {
      progress.over = true;
    });
    await eventually(() => !old.running, patience);
    // Never sent to anybody, it is made good where the master is then. On a machine that stalls, that one may be there already.
    const refused = await cache.delete('late').then(
      () => false,
      (error: unknown) => {
        expect(error).toBeInstanceOf(RedisUnavailableError);
        return true;
      },
    );
    let calls = 0;
    let loads = 0;
    using waited = ownTime();
    do {
      const load = () => `load ${(loads += 1)}`;
      expect(await cache.getOrSet('during', load, { unless: () => true })).toBe(`load ${loads}`);
      calls += 1;
      for (const name of ['deleted', 'tagged', 'late']) expect(await cache.get(name)).toBeUndefined();
      await new Promise((resolve) => setImmediate(resolve));
    } while (!progress.over);
    expect(loads).toBe(calls);
    // Four waits a turn; with an open breaker there are far more turns than waits.
    expect(waited.ms).toBeLessThan((4 * budget + 250) * calls);
    const master = await failover;
    expect(master.port).not.toBe(old.port);

    if (refused) await eventually(() => cache.stats().madeGood > 0, patience);
    for (const app of [here, patient, elsewhere]) {
      await eventually(async () => (await app.cache.get('kept')) === 'kept', patience);
      for (const name of ['deleted', 'tagged', 'late']) expect(await app.cache.get(name)).toBeUndefined();
    }
    const load = jest.fn(() => 'new');
    await Promise.all(
      [patient, elsewhere].flatMap((app) =>
        Array(50)
          .fill(0)
          .map(() => app.cache.getOrSet('late', load)),
      ),
    );
    expect(load).toHaveBeenCalledTimes(1);
    expect(await master.client().exists('shop:cache:{late}')).toBe(1);
    jest.restoreAllMocks();
  }, 120_000);
});
