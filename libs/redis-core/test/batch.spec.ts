import { Redis, type Cluster } from 'ioredis';
import { RedisCluster, RedisSentinel, RedisServer, eventually } from '@redstart/redis-testing';
import { mastersOf } from '../src/connection/cluster.js';
import { openConnection } from './support/open-connection.js';

/** Counts what reaches the operating system: a socket hands over one `_write` or one `_writev` at a time. */
function countWrites(redis: Redis): { count: number } {
  const writes = { count: 0 };
  const { stream } = redis;
  for (const method of ['_write', '_writev'] as const) {
    const original = stream[method]?.bind(stream) as ((...args: unknown[]) => void) | undefined;
    if (original === undefined) throw new Error(`The socket has no ${method}.`);
    Object.assign(stream, {
      [method]: (...args: unknown[]) => {
        writes.count += 1;
        original(...args);
      },
    });
  }
  return writes;
}

const getMany = (client: Redis | Cluster, prefix: string) =>
  Promise.all(Array.from({ length: 64 }, (_, index) => client.get(`${prefix}${index}`)));

describe('batch of one tick', () => {
  it('sends all commands of a tick in one system call', async () => {
    await using server = await RedisServer.start();
    await using open = await openConnection({ url: server.url });
    const client = mastersOf(open.connection.client)[0] as Redis;
    const writes = countWrites(client);
    await getMany(client, 'key:');
    expect(writes.count).toBe(1);
  });

  it('includes what the continuations of a tick send, and keeps the order', async () => {
    await using server = await RedisServer.start();
    await using open = await openConnection({ url: server.url });
    const client = mastersOf(open.connection.client)[0] as Redis;
    const writes = countWrites(client);
    const first = client.rpush('list', 'a');
    const second = Promise.resolve().then(async () => {
      await Promise.resolve();
      return client.rpush('list', 'b');
    });
    const third = client.pipeline().rpush('list', 'c').exec();
    await Promise.all([first, second, third]);
    expect(writes.count).toBe(1);
    expect(new Set(await client.lrange('list', 0, -1))).toEqual(new Set(['a', 'b', 'c']));
    expect((await client.lrange('list', 0, 0))[0]).toBe('a');
  });

  it('works over TLS', async () => {
    await using server = await RedisServer.start({ tls: true });
    await using open = await openConnection({ url: server.url, tls: { ca: server.tls?.ca ?? '' } });
    const client = mastersOf(open.connection.client)[0] as Redis;
    const writes = countWrites(client);
    await getMany(client, 'key:');
    expect(writes.count).toBe(1);
  });

  it('works with Sentinel', async () => {
    await using sentinel = await RedisSentinel.start();
    await using open = await openConnection({ sentinels: [...sentinel.sentinels], masterName: sentinel.masterName });
    const client = mastersOf(open.connection.client)[0] as Redis;
    const writes = countWrites(client);
    await getMany(client, 'key:');
    expect(writes.count).toBe(1);
  });

  it('works per node of a Cluster', async () => {
    await using cluster = await RedisCluster.start({ masters: 3, replicas: 0 });
    await using open = await openConnection({ cluster: [...cluster.nodes] });
    const { client } = open.connection;
    await getMany(client, 'warm-up:');
    const writes = mastersOf(client).map(countWrites);
    await getMany(client, 'key:');
    expect(writes.map((node) => node.count)).toEqual([1, 1, 1]);
  });

  it('works on a client of the user, and is taken off when the connection closes', async () => {
    await using server = await RedisServer.start();
    const own = server.client();
    {
      await using open = await openConnection({ client: own });
      const writes = countWrites(own);
      await getMany(open.connection.client, 'key:');
      expect(writes.count).toBe(1);
    }
    expect(Object.hasOwn(own, 'sendCommand')).toBe(false);
    await expect(own.ping()).resolves.toBe('PONG');
  });

  it('works again after a reconnect', async () => {
    await using server = await RedisServer.start();
    await using open = await openConnection({ url: server.url });
    const client = mastersOf(open.connection.client)[0] as Redis;
    const before = client.stream;
    await server.restart();
    await eventually(async () => {
      await expect(client.ping()).resolves.toBe('PONG');
    });
    expect(client.stream).not.toBe(before);
    const writes = countWrites(client);
    await getMany(client, 'key:');
    expect(writes.count).toBe(1);
  });
});
