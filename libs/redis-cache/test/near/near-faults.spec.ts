import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { getRedisConnectionToken, type RedisConnection } from '@redstart/redis-core';
import { eventually, FaultProxy, RedisSentinel, RedisServer } from '@redstart/redis-testing';
import type { CacheApp } from '../app.js';
import { patience, readBy, startNear, warm } from './near-app.js';

jest.setTimeout(120_000);
beforeEach(() => {
  jest.spyOn(Logger.prototype, 'log').mockImplementation(() => undefined);
  jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
});
afterEach(() => {
  jest.restoreAllMocks();
});

const clockOf = ({ context }: CacheApp) => context.get<RedisConnection>(getRedisConnectionToken()).clock;

/** Reads until the old value has gone, and then some more: once gone, it must not come back. */
async function seesTheLastOf(old: unknown, { cache }: CacheApp): Promise<void> {
  await eventually(async () => (await cache.get('flight')) !== old, patience);
  for (let i = 0; i < 50; i += 1) expect(await cache.get('flight')).not.toBe(old);
}

it('goes to Redis while its connection is broken, whatever was deleted meanwhile', async () => {
  await using server = await RedisServer.start();
  await using here = await startNear({ url: server.url });
  await using elsewhere = await startNear({ url: server.url });
  for (let round = 0; round < 5; round += 1) {
    await elsewhere.cache.set('flight', round);
    await warm(here, () => here.cache.get('flight'));
    const killed = await server.ask(async (client) => {
      const count = await client.client('KILL', 'TYPE', 'PUBSUB');
      await client.unlink('shop:cache:{flight}');
      return Number(count);
    });
    expect(killed).toBeGreaterThan(0);
    await seesTheLastOf(round, here);
  }
});

it('serves nothing that is older than the bound when its connection is half open', async () => {
  await using server = await RedisServer.start();
  await using proxy = await FaultProxy.start(server);
  const maxLagMs = 900;
  await using here = await startNear({ url: proxy.url }, { budget: '100ms', near: { maxLag: maxLagMs } });
  await using elsewhere = await startNear({ url: server.url });
  await elsewhere.cache.set('flight', 'old');
  await warm(here, () => here.cache.get('flight'));
  using frozen = proxy.blackhole();
  const frozenAt = clockOf(here).now();
  await elsewhere.cache.delete('flight');
  const late: unknown[] = [];
  await eventually(async () => {
    const askedAt = clockOf(here).now();
    const value = await here.cache.get('flight');
    if (askedAt >= frozenAt + maxLagMs) late.push(value);
    return askedAt >= frozenAt + 2 * maxLagMs;
  }, patience);
  expect(new Set(late)).toEqual(new Set([undefined]));
  expect(frozen.injected).toBeGreaterThan(0);
  frozen.stop();
  await elsewhere.cache.set('flight', 'new');
  await eventually(async () => (await here.cache.get('flight')) === 'new', patience);
  await warm(here, () => here.cache.get('flight'));
});

it('goes to Redis when the process wakes up after having stood still, before it has read what it missed', async () => {
  await using server = await RedisServer.start();
  await using here = await startNear({ url: server.url }, { near: { maxLag: '600ms' } });
  await using elsewhere = await startNear({ url: server.url });
  await elsewhere.cache.set('flight', 'old');
  await warm(here, () => here.cache.get('flight'));
  const deleted = elsewhere.cache.delete('flight');
  await new Promise(setImmediate); // It has been sent.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_500);
  // No event has been dealt with since: neither the word of the deletion nor its answer.
  const read = readBy(here, () => here.cache.get('flight'));
  await deleted;
  expect(await read).toEqual({ value: undefined, near: false });
});

it('serves nothing of before when Redis has been restarted empty', async () => {
  await using server = await RedisServer.start();
  await using here = await startNear({ url: server.url });
  await here.cache.set('flight', 'old');
  await warm(here, () => here.cache.get('flight'));
  await server.restart();
  await seesTheLastOf('old', here);
  await eventually(() => here.cache.set('flight', 'new'), patience);
  await warm(here, () => here.cache.get('flight'));
});

it.each(['FLUSHALL', 'FLUSHDB'])('serves nothing of before after a %s', async (command) => {
  await using server = await RedisServer.start();
  await using here = await startNear({ url: server.url });
  await here.cache.set('flight', 'old');
  await warm(here, () => here.cache.get('flight'));
  await server.ask((client) => client.call(command));
  await seesTheLastOf('old', here);
});

it('loses what Redis evicts when its memory is full', async () => {
  await using server = await RedisServer.start({
    args: ['--maxmemory', '3mb', '--maxmemory-policy', 'allkeys-random'],
  });
  await using here = await startNear({ url: server.url });
  await here.cache.set('flight', 'old');
  await warm(here, () => here.cache.get('flight'));
  const client = server.client();
  await eventually(async () => {
    for (let i = 0; i < 200; i += 1) await client.set(`filler:${Math.random()}`, 'x'.repeat(5_000));
    return (await client.exists('shop:cache:{flight}', 'shop:cache:version')) < 2;
  }, patience);
  await eventually(async () => !(await readBy(here, () => here.cache.get('flight'))).near, patience);
});

it('serves nothing of before after a failover, and what the new master has', async () => {
  await using redis = await RedisSentinel.start();
  const connection = { sentinels: [...redis.sentinels], masterName: redis.masterName };
  await using here = await startNear(connection, { near: { maxLag: '2s' } });
  await using elsewhere = await startNear(connection);
  await here.cache.set('flight', 'old');
  await warm(here, () => here.cache.get('flight'));
  await redis.failover();
  await eventually(() => elsewhere.cache.set('flight', 'new'), { within: 30_000 });
  await seesTheLastOf('old', here);
  await eventually(async () => (await here.cache.get('flight')) === 'new', { within: 30_000 });
  await warm(here, () => here.cache.get('flight'));
});
