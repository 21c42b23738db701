import type { Cluster, Redis } from 'ioredis';
import { RedisCluster } from '../cluster/redis-cluster.js';
import { RedisSentinel } from '../sentinel/redis-sentinel.js';
import type { Address } from '../server/endpoint.js';
import { RedisServer } from '../server/redis-server.js';
import { TopologyMisusedError } from './topology-under-test.js';

export type TopologyName = 'standalone' | 'cluster' | 'sentinel';

/** The options of `RedisModule.forRoot` that lead to the topology under test. */
export type TopologyConnection =
  { url: string } | { cluster: Address[] } | { sentinels: Address[]; masterName: string };

/** A started topology. */
export interface RunningTopology {
  readonly connection: TopologyConnection;
  readonly server?: RedisServer;
  readonly cluster?: RedisCluster;
  readonly sentinel?: RedisSentinel;
  client(): Redis | Cluster;
  flush(): Promise<void>;
  stop(): Promise<void>;
}

/** A way to run Redis, for {@link describeOn}: `standalone`, `cluster` or `sentinel`. */
export interface Topology {
  readonly name: TopologyName;
  start(): Promise<RunningTopology>;
}

/** One server. */
export const standalone: Topology = {
  name: 'standalone',
  async start() {
    const server = await RedisServer.start();
    return {
      server,
      connection: { url: server.url },
      client: () => server.client(),
      flush: () => server.flush(),
      stop: () => server.stop(),
    };
  },
};

/**
 * Redis Cluster with three masters and no replicas; ready in about 2 s. The environment variable `REDSTART_CLUSTER_REPLICAS` gives each master so many.
 */
export const cluster: Topology = {
  name: 'cluster',
  async start() {
    const running = await RedisCluster.start({ masters: 3, replicas: clusterReplicas() });
    return {
      cluster: running,
      connection: { cluster: [...running.nodes] },
      client: () => running.client(),
      flush: () => running.flush(),
      stop: () => running.stop(),
    };
  },
};

function clusterReplicas(): number {
  const text = process.env['REDSTART_CLUSTER_REPLICAS'] ?? '0';
  if (/^[0-3]$/.test(text)) return Number(text);
  throw new TopologyMisusedError(`REDSTART_CLUSTER_REPLICAS is ${JSON.stringify(text)}. Use a number from 0 to 3.`);
}

/** A master and a replica that three sentinels watch. */
export const sentinel: Topology = {
  name: 'sentinel',
  async start() {
    const running = await RedisSentinel.start();
    return {
      sentinel: running,
      get server() {
        return running.master;
      },
      connection: { sentinels: [...running.sentinels], masterName: running.masterName },
      client: () => running.client(),
      flush: () => running.flush(),
      stop: () => running.stop(),
    };
  },
};
