import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { cluster, describeOn, eventually, FaultProxy, RedisServer, standalone } from '@redstart/redis-testing';
import { listenUntilCoherent } from './listening.js';

const patience = { within: 30_000 };
jest.setTimeout(90_000);
const pubsub = { mode: 'pubsub' } as const;

beforeEach(() => {
  jest.spyOn(Logger.prototype, 'log').mockImplementation(() => undefined);
  jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
});
afterEach(() => {
  jest.restoreAllMocks();
});

describeOn(standalone, cluster)('word by Pub/Sub', (redis) => {
  it('reaches every other process by the time that announcing has resolved or soon after, and not the one that speaks', async () => {
    await using here = await listenUntilCoherent(redis.connection, pubsub);
    await using there = await listenUntilCoherent(redis.connection, pubsub);
    await here.coherence.announce([here.at('flight'), here.at('a"b\\,')]);
    await here.coherence.announce([here.at('last')]);
    await eventually(() => {
      expect(there.heard).toEqual([here.at('flight'), here.at('a"b\\,'), here.at('last')]);
    }, patience);
    expect(here.heard).toEqual([]);
  });

  it('is not given by what is no word of ours', async () => {
    await using here = await listenUntilCoherent(redis.connection, pubsub);
    const { changes } = here.keys.coherence();
    const before = here.gaps;
    for (const message of ['', 'nonsense', '{}', '[]', '[1]', '["x",2]']) {
      await here.connection.subscriber.publish(here.connection.client, changes, message);
    }
    await here.connection.subscriber.publish(here.connection.client, changes, '["x","last"]');
    await eventually(() => here.heard.includes('last'), patience);
    expect(here.heard).toEqual(['last']);
    expect(here.gaps).toBe(before);
  });

  it('tells of a gap when the connection broke, and is heard again', async () => {
    await using here = await listenUntilCoherent(redis.connection, { ...pubsub, maxLagMs: 900 });
    const before = here.gaps;
    const servers = redis.topology === 'cluster' ? await redis.cluster.masters() : [redis.server];
    for (const server of servers) await server.ask((client) => client.client('KILL', 'TYPE', 'PUBSUB'));
    await eventually(() => here.gaps > before && here.coherent, patience);
    await using there = await listenUntilCoherent(redis.connection, pubsub);
    await there.coherence.announce(['flight']);
    await eventually(() => here.heard.includes('flight'), patience);
  });
});

describe('word by Pub/Sub through a network that fails', () => {
  it('is made up for when it could not be given', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    await using here = await listenUntilCoherent({ url: proxy.url }, { ...pubsub, maxLagMs: 900 });
    await using there = await listenUntilCoherent({ url: server.url }, pubsub);
    const refused = proxy.refuse();
    await here.coherence.announce(['flight', 'seat']);
    expect(there.heard).toEqual([]);
    refused.stop();
    expect(refused.injected).toBeGreaterThan(0);
    await eventually(() => {
      // Once more where the answer to the first attempt came too late.
      expect([...new Set(there.heard)]).toEqual(['flight', 'seat']);
    }, patience);
  });

  it('becomes word of everything when too much could not be given', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    await using here = await listenUntilCoherent({ url: proxy.url }, { ...pubsub, maxLagMs: 900 });
    await using there = await listenUntilCoherent({ url: server.url }, pubsub);
    const before = there.gaps;
    const refused = proxy.refuse();
    await here.coherence.announce(Array.from({ length: 1_001 }, (_, index) => `flight-${index}`));
    refused.stop();
    await eventually(() => there.gaps > before, patience);
    expect(there.heard).toEqual([]);
  });

  it('is not waited for: the trust ends within the bound when nothing is heard', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    await using here = await listenUntilCoherent({ url: proxy.url }, { ...pubsub, maxLagMs: 900 });
    const frozen = proxy.blackhole();
    const frozenAt = here.connection.clock.now();
    expect(here.coherence.trustedUntil).toBeLessThanOrEqual(frozenAt + 900);
    await eventually(() => !here.coherent, patience);
    frozen.stop();
    await eventually(() => here.coherent, patience);
    expect(frozen.injected).toBeGreaterThan(0);
  });
});
