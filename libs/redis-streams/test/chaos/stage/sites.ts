import type { Cluster, Redis } from 'ioredis';
import { FaultProxy, RedisCluster, RedisSentinel, RedisServer } from '@redstart/redis-testing';
import type { RedisModuleOptions } from '@redstart/redis-core';

/** The Redis that is put under fault, whatever it consists of. */
export interface Site extends AsyncDisposable {
  /** A client of it, for looking. */
  readonly client: Redis | Cluster;
  /** The server that has a key at present. */
  serverOf(key: string): Promise<RedisServer>;
  /** How the member at a place finds it. */
  connectionAt(place: number): RedisModuleOptions;
  /** The network of the member at a place: one proxy to each server. Empty where the network is not what is tested. */
  proxiesAt(place: number): readonly FaultProxy[];
}

const namespace = 'shop';
/** Back at once, however long a server was down. */
const lookingClient = { retryStrategy: () => 50 };

/** One server behind a faulty network for each place. */
export async function oneServer(places: number): Promise<Site> {
  const server = await RedisServer.start();
  const networks = await Promise.all(Array.from({ length: places }, () => networkTo([server])));
  const proxiesAt = (place: number) => at(networks, place);
  return {
    client: server.client(lookingClient),
    serverOf: () => Promise.resolve(server),
    connectionAt: (place) => ({ namespace, url: proxiesAt(place)[0]?.url ?? '' }),
    proxiesAt,
    async [Symbol.asyncDispose]() {
      await Promise.all(networks.flat().map((proxy) => proxy.stop()));
      await server.stop();
    },
  };
}

export interface ClusterSite extends Site {
  readonly cluster: RedisCluster;
}

/** Three masters that share the slots, behind a faulty network for each place. */
export async function threeMasters(places: number): Promise<ClusterSite> {
  const cluster = await RedisCluster.start({ masters: 3, replicas: 0 });
  const networks = await Promise.all(Array.from({ length: places }, () => networkTo(cluster.servers)));
  const proxiesAt = (place: number) => at(networks, place);
  return {
    cluster,
    client: cluster.client(),
    serverOf: (key) => cluster.nodeOf(key),
    connectionAt: (place) => {
      const proxies = proxiesAt(place);
      const addresses = proxies.map(({ host, port }) => ({ host, port }));
      const natMap = Object.fromEntries(
        cluster.servers.map(({ host, port }, index) => [`${host}:${port}`, at(addresses, index)]),
      );
      return { namespace, cluster: addresses, ioredis: { natMap } };
    },
    proxiesAt,
    async [Symbol.asyncDispose]() {
      await Promise.all(networks.flat().map((proxy) => proxy.stop()));
      await cluster.stop();
    },
  };
}

export interface SentinelSite extends Site {
  readonly sentinel: RedisSentinel;
}

/** A master with a replica, which sentinels watch over. */
export async function withSentinels(): Promise<SentinelSite> {
  const sentinel = await RedisSentinel.start();
  return {
    sentinel,
    client: sentinel.client(lookingClient),
    serverOf: () => Promise.resolve(sentinel.master),
    connectionAt: () => ({ namespace, sentinels: [...sentinel.sentinels], masterName: sentinel.masterName }),
    proxiesAt: () => [],
    [Symbol.asyncDispose]: () => sentinel.stop(),
  };
}

function networkTo(servers: readonly RedisServer[]): Promise<FaultProxy[]> {
  return Promise.all(servers.map((server) => FaultProxy.start(server)));
}

function at<T>(list: readonly T[], place: number): T {
  const found = list[place];
  if (found === undefined) throw new RangeError(`There is no place ${place}.`);
  return found;
}
