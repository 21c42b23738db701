import { FaultProxy, RedisCluster, RedisSentinel, RedisServer } from '@redstart/redis-testing';
import type { RedisLockOptions } from '../../../src/index.js';
import { lockOptions, quorumOptions } from '../terms.js';
import type { ArenaOptions } from './arena.js';

/** The Redis that is put under fault, whatever it consists of. */
export interface Site extends AsyncDisposable {
  readonly arena: Omit<ArenaOptions, 'crew'>;
}

export interface ServerSite extends Site {
  readonly server: RedisServer;
}

/** One server that all of the crew share. */
export async function oneServer(lock: RedisLockOptions = lockOptions): Promise<ServerSite> {
  const server = await RedisServer.start();
  return {
    server,
    arena: { ...ofServer(server), targetOf: () => ({ redis: [{ namespace: 'shop', url: server.url }], lock }) },
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

export interface NetworkSite extends ServerSite {
  readonly proxies: readonly FaultProxy[];
  proxyAt(place: number): FaultProxy;
}

/** One server behind a faulty network for each place of the crew. */
export async function faultyNetworks(places = 4): Promise<NetworkSite> {
  const server = await RedisServer.start();
  const proxies = await Promise.all(Array.from({ length: places }, () => FaultProxy.start(server)));
  const proxyAt = (place: number): FaultProxy => {
    const proxy = proxies[place];
    if (proxy === undefined) throw new RangeError(`There is no place ${place}.`);
    return proxy;
  };
  return {
    server,
    proxies,
    proxyAt,
    arena: {
      ...ofServer(server),
      targetOf: (place: number) => ({
        redis: [{ namespace: 'shop', url: proxyAt(place).url }],
        lock: lockOptions,
      }),
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(proxies.map((proxy) => proxy.stop()));
      await server.stop();
    },
  };
}

export interface SentinelSite extends Site {
  readonly sentinel: RedisSentinel;
}

/** A master with a replica, which sentinels watch over. They bear with a master that stands still for a while, as on a busy machine. */
export async function withSentinels(): Promise<SentinelSite> {
  const sentinel = await RedisSentinel.start({ downAfter: 2_000 });
  const redis = { namespace: 'shop', sentinels: [...sentinel.sentinels], masterName: sentinel.masterName };
  return {
    sentinel,
    arena: {
      targetOf: () => ({ redis: [redis], lock: lockOptions }),
      clients: [sentinel.client()],
      masters: () => Promise.resolve([sentinel.master]),
      serverOf: () => Promise.resolve(sentinel.master),
    },
    [Symbol.asyncDispose]: () => sentinel[Symbol.asyncDispose](),
  };
}

export interface ClusterSite extends Site {
  readonly cluster: RedisCluster;
}

/** Three masters that share the keys. */
export async function threeMasters(): Promise<ClusterSite> {
  const cluster = await RedisCluster.start({ masters: 3, replicas: 0 });
  return {
    cluster,
    arena: {
      targetOf: () => ({ redis: [{ namespace: 'shop', cluster: [...cluster.nodes] }], lock: lockOptions }),
      clients: [cluster.client()],
      masters: () => cluster.masters(),
      serverOf: (key: string) => cluster.nodeOf(key),
    },
    [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose](),
  };
}

export interface QuorumSite extends Site {
  readonly nodes: readonly RedisServer[];
}

/** Three independent servers, of which two have to agree. */
export async function threeNodes(): Promise<QuorumSite> {
  const names = ['lock-a', 'lock-b', 'lock-c'];
  const nodes = await Promise.all(names.map(() => RedisServer.start()));
  const redis = nodes.map(({ url }, index) => ({
    name: names[index] ?? '',
    namespace: 'shop',
    url,
    startup: 'lazy' as const, // a recruit comes although a node is down
  }));
  return {
    nodes,
    arena: {
      targetOf: () => ({ redis, lock: { ...quorumOptions, nodes: names } }),
      // Back at once, however long a node was down.
      clients: nodes.map((node) => node.client({ retryStrategy: () => 50 })),
      masters: () => Promise.resolve(nodes),
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(nodes.map((node) => node.stop()));
    },
  };
}

function ofServer(server: RedisServer) {
  return {
    clients: [server.client()],
    masters: () => Promise.resolve([server]),
    serverOf: () => Promise.resolve(server),
  };
}
