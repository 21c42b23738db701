import type { Cluster, Redis } from 'ioredis';
import type { RedisCluster } from '../cluster/redis-cluster.js';
import { RedisTestingError } from '../errors.js';
import type { RedisSentinel } from '../sentinel/redis-sentinel.js';
import { OwnedClients } from '../server/owned-clients.js';
import type { RedisServer } from '../server/redis-server.js';
import type { RunningTopology, Topology, TopologyConnection, TopologyName } from './topology.js';

/** A hook of Jest, or a member of the handle, was used where it cannot work. */
export class TopologyMisusedError extends RedisTestingError {
  constructor(message: string) {
    super('TOPOLOGY_MISUSED', message);
  }
}

/**
 * What the body of `describeOn` receives: Redis as this run of the suite has it. It exists while the suite's tests and
 * hooks run; using it while the suite is being declared throws, since nothing has been started then.
 */
export class TopologyUnderTest {
  readonly topology: TopologyName;
  readonly #clients = new OwnedClients();
  #running: RunningTopology | undefined;

  constructor(topology: Topology) {
    this.topology = topology.name;
  }

  /** The options of `RedisModule.forRoot` that lead here: `{ url }`, `{ cluster }` or `{ sentinels, masterName }`. */
  get connection(): TopologyConnection {
    return this.#started.connection;
  }

  /** The server; under `sentinel` the present master. @throws TopologyMisusedError under `cluster`, which has several */
  get server(): RedisServer {
    return this.#only(this.#started.server, 'server', 'redis.cluster.servers');
  }

  /** @throws TopologyMisusedError unless the topology is `cluster` */
  get cluster(): RedisCluster {
    return this.#only(this.#started.cluster, 'cluster', 'redis.server');
  }

  /** @throws TopologyMisusedError unless the topology is `sentinel` */
  get sentinel(): RedisSentinel {
    return this.#only(this.#started.sentinel, 'sentinel', 'redis.topology to tell them apart');
  }

  /** A new ioredis client, closed when the suite ends. */
  client(): Redis | Cluster {
    return this.#clients.own(this.#started.client());
  }

  /** Empties every database; each test starts with that already done. */
  async flush(): Promise<void> {
    await this.#started.flush();
  }

  /** @internal */
  enter(running: RunningTopology): void {
    this.#running = running;
  }

  /** @internal */
  leave(): void {
    this.#clients.close();
    this.#running = undefined;
  }

  get #started(): RunningTopology {
    if (this.#running !== undefined) return this.#running;
    throw new TopologyMisusedError(
      'Redis has not been started yet: use the handle of describeOn inside tests and hooks, not while declaring them.',
    );
  }

  #only<T>(part: T | undefined, name: string, instead: string): T {
    if (part !== undefined) return part;
    throw new TopologyMisusedError(`redis.${name} does not exist on the topology ${this.topology}. Use ${instead}.`);
  }
}
