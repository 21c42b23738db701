import { cluster, describeOn, eventually, RedisServer, standalone } from '@redstart/redis-testing';
import { hashSlot } from '../src/keys/hash-slot.js';
import { isCluster, mastersOf, ownerOf } from '../src/connection/cluster.js';
import type { RedisConnection } from '../src/connection/redis-connection.js';
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
    await eventually(() => {
      expect(gaps).toBe(1);
    });
    await eventually(async () => {
      await publish(open.connection, 'c', 'hello');
      expect(heard).toContain('hello');
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
