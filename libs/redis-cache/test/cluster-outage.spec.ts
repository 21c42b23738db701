import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { RedisUnavailableError } from '@redstart/redis-core';
import { eventually, RedisCluster } from '@redstart/redis-testing';
import { ownTime, startCache, type CacheApp } from './app.js';

const budget = 250;
/** Many times what a call may wait, and far less than the sockets would. */
const far = 8 * budget;

/** A Cluster without sharded Pub/Sub has to be told apart from one that has it, and nobody has asked it yet. */
describe('a Cluster that stands still before it has been asked anything', () => {
  let redis: RedisCluster;
  let app: CacheApp;
  const freeze = () => {
    for (const server of redis.servers) server.pause();
  };
  const thaw = () => {
    for (const server of redis.servers) server.resume();
  };
  beforeAll(async () => {
    redis = await RedisCluster.start({ masters: 3, replicas: 0 });
  }, 60_000);
  beforeEach(async () => {
    jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    freeze();
    app = await startCache({ cluster: [...redis.nodes], startup: 'lazy' }, { budget, near: false });
  });
  afterEach(async () => {
    thaw();
    await app[Symbol.asyncDispose]();
    jest.restoreAllMocks();
  });
  afterAll(() => redis.stop());

  it('lets no change wait longer than its budget, and says what it is', async () => {
    using waited = ownTime();
    for (const change of [
      () => app.cache.set('a', 1),
      () => app.cache.markStale('a'),
      () => app.cache.invalidateTags('x'),
    ]) {
      await expect(change()).rejects.toThrow(RedisUnavailableError);
    }
    expect(waited.ms).toBeLessThan(far);
    thaw();
    await eventually(
      async () => {
        await app.cache.set('a', 1);
        return (await app.cache.get('a')) === 1;
      },
      { within: 30_000 },
    );
  }, 60_000);

  it('costs no load its result: what can not be stored is returned', async () => {
    thaw();
    // Nothing of this says where loads tell of their end.
    await eventually(() => app.cache.delete('a'), { within: 30_000 });
    let loads = 0;
    using waited = ownTime();
    const value = await app.cache.getOrSet('a', () => {
      loads += 1;
      freeze();
      return 'loaded';
    });
    expect(value).toBe('loaded');
    expect(waited.ms).toBeLessThan(far);
    expect(app.cache.stats()).toMatchObject({ loads: 1, stores: 0 });
    thaw();
    await eventually(
      async () => {
        await app.cache.getOrSet('b', () => 'stored');
        return (await app.cache.get('b')) === 'stored';
      },
      { within: 30_000 },
    );
    expect(loads).toBe(1);
  }, 60_000);
});
