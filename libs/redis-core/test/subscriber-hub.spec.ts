import { once } from 'node:events';
import { jest } from '@jest/globals';
import { Redis } from 'ioredis';
import { cluster, describeOn, eventually, FaultProxy, RedisServer, standalone } from '@redstart/redis-testing';
import { hashSlot } from '../src/keys/hash-slot.js';
import { isCluster, mastersOf, ownerOf } from '../src/connection/cluster.js';
import type { RedisConnection } from '../src/connection/redis-connection.js';
import { SubscriberLink } from '../src/subscriber/subscriber-link.js';
import { aCall, openConnection, rejectionOf } from './support/open-connection.js';

const publish = (connection: RedisConnection, channel: string, message: string) =>
  connection.call(aCall, (client) => connection.subscriber.publish(client, channel, message));

/** How many subscriptions the servers know for a channel, sharded or not. */
async function subscriptions(connection: RedisConnection, channel: string): Promise<number> {
  const counts = await Promise.all(
    mastersOf(connection.client).flatMap((master) =>
      ['NUMSUB', 'SHARDNUMSUB'].map(async (kind) => Number((await master.pubsub(kind as 'NUMSUB', channel))[1])),
    ),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

describeOn(standalone, cluster)('the subscriber hub', (redis) => {
  it('delivers to every listener of a channel over one subscription', async () => {
    await using open = await openConnection(redis.connection);
    const { connection } = open;
    const heard: string[] = [];
    const listen = (who: string) =>
      connection.subscriber.subscribe('spec:news', {
        onMessage: (message) => {
          heard.push(`${who} ${message}`);
        },
      });
    const [first, second] = await Promise.all([listen('a'), listen('b')]);
    expect(await subscriptions(connection, 'spec:news')).toBe(1);
    expect(await publish(connection, 'spec:news', 'one')).toBe(1);
    await eventually(() => {
      expect(heard.toSorted()).toEqual(['a one', 'b one']);
    });
    await first.close();
    await first.close();
    await publish(connection, 'spec:news', 'two');
    await eventually(() => {
      expect(heard).toContain('b two');
    });
    expect(heard).not.toContain('a two');
    await second.close();
    await eventually(async () => {
      expect(await subscriptions(connection, 'spec:news')).toBe(0);
    });
  });

  it('listens as soon as subscribe has resolved, on many channels at once', async () => {
    await using open = await openConnection(redis.connection);
    const { connection } = open;
    const heard = new Set<string>();
    const channels = Array.from({ length: 20 }, (_, index) => `spec:many:${index}`);
    await Promise.all(
      channels.map(async (channel) => {
        await connection.subscriber.subscribe(channel, { onMessage: (message) => heard.add(message) });
        await publish(connection, channel, channel);
      }),
    );
    await eventually(() => {
      expect([...heard].toSorted()).toEqual(channels.toSorted());
    });
  });

  it('keeps the other listeners when one of them throws', async () => {
    await using open = await openConnection(redis.connection);
    const { connection } = open;
    const heard: string[] = [];
    await connection.subscriber.subscribe('spec:throwing', {
      onMessage: () => {
        throw new Error('a bug of a listener');
      },
    });
    await connection.subscriber.subscribe('spec:throwing', {
      onMessage: (message) => {
        heard.push(message);
      },
    });
    await publish(connection, 'spec:throwing', 'one');
    await eventually(() => {
      expect(heard).toEqual(['one']);
    });
  });

  it('refuses new listeners once the connection is closed', async () => {
    const open = await openConnection(redis.connection);
    await open.connection.close();
    const error = await rejectionOf(open.connection.subscriber.subscribe('x', { onMessage: () => undefined }));
    expect(error).toMatchObject({ code: 'REDIS_UNAVAILABLE' });
  });

  it('subscribes again after the connection broke, and tells its listeners of the gap', async () => {
    await using open = await openConnection(redis.connection);
    const { connection } = open;
    const heard: string[] = [];
    let gaps = 0;
    await connection.subscriber.subscribe('spec:gap', {
      onMessage: (message) => {
        heard.push(message);
      },
      onGap: () => {
        gaps += 1;
      },
    });
    expect(gaps).toBe(0);
    await Promise.all(mastersOf(connection.client).map((master) => master.client('KILL', 'TYPE', 'PUBSUB')));
    await eventually(() => {
      expect(gaps).toBe(1);
    });
    await publish(connection, 'spec:gap', 'after');
    await eventually(() => {
      expect(heard).toEqual(['after']);
    });
  });
});

describe('the subscriber hub and a server that restarts', () => {
  it('listens again, and tells of the gap', async () => {
    await using server = await RedisServer.start();
    await using open = await openConnection({ url: server.url });
    let gaps = 0;
    const heard: string[] = [];
    await open.connection.subscriber.subscribe('c', {
      onMessage: (message) => {
        heard.push(message);
      },
      onGap: () => {
        gaps += 1;
      },
    });
    await server.restart();
    await eventually(
      () => {
        expect(gaps).toBeGreaterThanOrEqual(1);
      },
      { within: 15_000 },
    );
    await eventually(async () => {
      await publish(open.connection, 'c', 'hello');
      expect(heard).toContain('hello');
    });
  });

  it('listens to a channel that is asked for while the connection is being opened', async () => {
    await using server = await RedisServer.start();
    const client = new Redis({ host: server.host, port: server.port, lazyConnect: true, autoResubscribe: false });
    const events = { onMessage: jest.fn(), onGap: jest.fn(), onRefused: jest.fn() };
    const link = new SubscriberLink(client, events, false);
    try {
      await Promise.all([link.add('spec:before'), once(client, 'connect').then(() => link.add('spec:between'))]);
      expect(await server.ask((redis) => redis.publish('spec:before', 'one'))).toBe(1);
      expect(await server.ask((redis) => redis.publish('spec:between', 'two'))).toBe(1);
      await eventually(() => {
        expect(events.onMessage.mock.calls).toEqual([
          ['spec:before', 'one'],
          ['spec:between', 'two'],
        ]);
      });
      expect(events.onGap).not.toHaveBeenCalled();
    } finally {
      link.close();
    }
  });

  it('tells who waits for a connection that is closed, or has left, while there is no server', async () => {
    await using server = await RedisServer.start();
    await server.stop();
    const client = new Redis({ host: server.host, port: server.port, lazyConnect: true, autoResubscribe: false });
    client.on('error', () => undefined);
    const events = { onMessage: jest.fn(), onGap: jest.fn(), onRefused: jest.fn() };
    const link = new SubscriberLink(client, events, false);
    const [left, closed] = [rejectionOf(link.add('spec:left')), rejectionOf(link.add('spec:closed'))];
    link.remove('spec:left');
    expect(await left).toMatchObject({ message: 'left before it listened' });
    link.close();
    expect(await closed).toBeInstanceOf(Error);
    expect(await rejectionOf(link.add('spec:late'))).toMatchObject({ message: 'the connection has ended' });
  });

  it('lets a listener leave while the server says nothing', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    await using open = await openConnection({ url: proxy.url });
    const { subscriber } = open.connection;
    const heard: string[] = [];
    const listen = (channel: string) =>
      subscriber.subscribe(channel, { onMessage: (message) => heard.push(`${channel} ${message}`) });
    const [first, second] = await Promise.all([listen('spec:first'), listen('spec:second')]);
    const silence = proxy.blackhole();
    await first.close();
    await second.close();
    silence.stop();
    const third = await listen('spec:third');
    await server.ask(async (redis) => {
      for (const channel of ['spec:first', 'spec:third']) await redis.publish(channel, 'hello');
    });
    await eventually(() => heard.length > 0);
    expect(heard).toEqual(['spec:third hello']);
    await third.close();
  });

  it('keeps the connection of a listener that comes while the last ones leave', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    await using open = await openConnection({ url: proxy.url });
    const { subscriber } = open.connection;
    const listen = (channel: string) => subscriber.subscribe(channel, { onMessage: () => undefined });
    const [first, second] = await Promise.all([listen('spec:first'), listen('spec:second')]);
    // The answers to the two that leave come one after the other.
    const slowly = proxy.slice();
    const leaving = [first.close(), second.close()];
    await leaving[0];
    const third = await listen('spec:third');
    await Promise.all(leaving);
    expect(slowly.injected).toBeGreaterThan(0);
    slowly.stop();
    await third.close();
    await eventually(async () => {
      expect(await server.ask((redis) => redis.client('LIST', 'TYPE', 'PUBSUB'))).toBe('');
    });
  });
});

describeOn(cluster)('sharded subscriptions', (redis) => {
  it('follow their slot to another master, and tell of the gap', async () => {
    await using open = await openConnection({ ...redis.connection, ioredis: { slotsRefreshInterval: 100 } });
    const { connection } = open;
    const heard: string[] = [];
    let gaps = 0;
    await connection.subscriber.subscribe('spec:{moving}', {
      onMessage: (message) => {
        heard.push(message);
      },
      onGap: () => {
        gaps += 1;
      },
    });
    const slot = hashSlot('spec:{moving}');
    const before = ownerOf(connection.client, slot);
    const owner = await redis.cluster.nodeOf('spec:{moving}');
    const target = redis.cluster.servers.find((server) => server !== owner);
    if (target === undefined) throw new Error('There is only one master.');
    await redis.cluster.migrateSlot(slot, target);
    await eventually(() => {
      expect(gaps).toBeGreaterThanOrEqual(1);
    });
    await eventually(async () => {
      expect(isCluster(connection.client) && ownerOf(connection.client, slot)).not.toBe(before);
      await publish(connection, 'spec:{moving}', 'found you');
      expect(heard).toContain('found you');
    });
  });
});
