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

/** How long a node or a master may be silent before the others take it for dead: on a busy machine a suite would meet failovers that nobody has asked for. */
const patienceMs = 10_000;

/**
 * Redis Cluster with three masters and no replicas; ready in about 2 s. The environment variable `REDSTART_CLUSTER_REPLICAS` gives each master so many. Its nodes bear
 * with one that is silent for 10 s.
 */
export const cluster: Topology = {
  name: 'cluster',
  async start() {
    const running = await RedisCluster.start({ masters: 3, replicas: clusterReplicas() });
    // Not from the start: until then they would also tell each other more rarely of themselves.
    const patience = (server: RedisServer) =>
      server.ask((redis) => redis.config('SET', 'cluster-node-timeout', patienceMs));
    await Promise.all(running.servers.map(patience)).catch(async (error: unknown) => {
      await running.stop();
      throw error;
    });
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

/** A master and a replica that three sentinels watch. They bear with a master that is silent for 10 s. */
export const sentinel: Topology = {
  name: 'sentinel',
  async start() {
    const running = await RedisSentinel.start({ downAfter: patienceMs });
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
