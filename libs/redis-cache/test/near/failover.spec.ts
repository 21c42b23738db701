import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { eventually, RedisCluster, RedisSentinel } from '@redstart/redis-testing';
import { listenUntilCoherent, type Listening } from './listening.js';

const patience = { within: 40_000 };
jest.setTimeout(90_000);

beforeEach(() => {
  jest.spyOn(Logger.prototype, 'log').mockImplementation(() => undefined);
  jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
});
afterEach(() => {
  jest.restoreAllMocks();
});

/** Fails over, and finds out whether the new master is heard after a gap. */
async function followsTheMaster(here: Listening, failOver: () => Promise<unknown>, write: () => Promise<unknown>) {
  const before = here.gaps;
  await failOver();
  await eventually(() => here.gaps > before, patience);
  await eventually(() => here.coherent, patience);
  here.heard.length = 0;
  await eventually(async () => {
    // More than once: a busy machine may see another failover, and what was written in between was heard of by nobody.
    await write();
    expect(here.heard).toContain(here.at('flight'));
  }, patience);
}

it('hears of the new master of a Sentinel after a failover', async () => {
  await using redis = await RedisSentinel.start();
  await using here = await listenUntilCoherent({ sentinels: [...redis.sentinels], masterName: redis.masterName });
  await followsTheMaster(
    here,
    () => redis.failover(),
    () => redis.client().set(here.at('flight'), 'new'),
  );
});

it('is off while a master of a Cluster is gone, and hears of the one that takes its place', async () => {
  await using redis = await RedisCluster.start({ masters: 3, replicas: 1 });
  await using here = await listenUntilCoherent({ cluster: [...redis.nodes] });
  const owner = await redis.nodeOf(here.at('flight'));
  await followsTheMaster(
    here,
    () => owner.kill(),
    () => redis.client().set(here.at('flight'), 'new'),
  );
});
