import { FaultProxy, RedisCluster } from '@redstart/redis-testing';
import type { NatMap } from 'ioredis';
import { isCluster } from '../src/connection/cluster.js';
import { hashSlot } from '../src/keys/hash-slot.js';
import { aCall, openConnection } from './support/open-connection.js';

interface Address {
  host: string;
  port: number;
}
const nameOf = ({ host, port }: Address) => `${host}:${port}`;

describe('a Cluster whose servers are reached at other addresses than their own', () => {
  let cluster: RedisCluster;
  let proxies: FaultProxy[];
  let table: Record<string, Address>;
  beforeAll(async () => {
    cluster = await RedisCluster.start({ masters: 3, replicas: 0 });
    proxies = await Promise.all(cluster.servers.map((server) => FaultProxy.start(server)));
    const addresses = proxies.map(({ host, port }) => ({ host, port }));
    table = Object.fromEntries(cluster.servers.map((server, at) => [nameOf(server), addresses[at] ?? server]));
  }, 60_000);
  afterAll(async () => {
    for (const proxy of proxies) await proxy.stop();
    await cluster.stop();
  });

  const maps: [kind: string, natMap: () => NatMap][] = [
    ['a table', () => table],
    // It makes something of every address.
    ['a function', () => (address) => table[address] ?? { host: '127.0.0.1', port: 1 }],
  ];
  it.each(maps)(
    'is read where it is reached, also when a MOVED has told of the other address: %s',
    async (_, natMap) => {
      const options = { cluster: proxies.map(({ host, port }) => ({ host, port })), ioredis: { natMap: natMap() } };
      await using open = await openConnection(options);
      const { connection } = open;
      const { client } = connection;
      const key = connection.keys.tagged('item', 1)();
      await connection.call(aCall, (redis) => redis.set(key, 'value'));
      const owner = nameOf(await cluster.nodeOf(key));
      const there = table[owner];
      if (there === undefined || !isCluster(client)) throw new Error('The Cluster has an owner of every key.');

      const before = connection.blocking(key);
      expect(before.options).toMatchObject(there);
      connection.release(before);
      // What ioredis writes down when it follows a MOVED, until it has asked for the slots anew.
      client.slots[hashSlot(key)] = [owner];
      const reader = connection.blocking(key);
      expect(reader.options).toMatchObject(there);
      expect(await reader.get(key)).toBe('value');
      connection.release(reader);
    },
  );
});
