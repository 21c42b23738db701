import { Cluster, type ClusterOptions } from 'ioredis';
import { ClusterNotReadyError } from '../errors.js';
import type { Address } from '../server/endpoint.js';
import { type ClaimedPorts, onFreePorts } from '../server/free-ports.js';
import { endingSoon, OwnedClients } from '../server/owned-clients.js';
import { RedisServer } from '../server/redis-server.js';
import { formCluster, SLOTS } from './form-cluster.js';
import { moveSlot } from './move-slot.js';
import { type NodeView, viewOf } from './node-view.js';

/** How to start a {@link RedisCluster}. */
export interface RedisClusterOptions {
  /** Masters that share the 16384 slots; a failover needs at least 3. @default 3 */
  masters?: number;
  /** Replicas of each master. @default 1 */
  replicas?: number;
  /** Further masters that own no slot yet, as in a cluster that is being scaled out: {@link RedisCluster.migrateSlot} gives them some. @default 0 */
  spares?: number;
  /** Arguments of every `redis-server`, after ours. */
  args?: readonly string[];
  /** The server to run. @default as for RedisServer */
  bin?: string;
}

/** What may happen in the middle of {@link RedisCluster.migrateSlot}. */
export interface MigrateSlotOptions {
  /** Runs when the keys have been moved and the slot has not: the old owner answers ASK to whoever wants them. */
  during?: () => Promise<void>;
}

/** Options of an ioredis Cluster client, with the shapes of replies that ioredis gives by default. */
export type ClusterClientOptions = ClusterOptions & {
  redisOptions?: NonNullable<ClusterOptions['redisOptions']> & { replyMapping?: 'legacy' };
};

/** One node and the port of its cluster bus. */
interface Member {
  readonly server: RedisServer;
  readonly busPort: number;
  /** Of both ports, also while the node is down. */
  readonly claim: ClaimedPorts;
}

/**
 * A real Redis Cluster on 127.0.0.1.
 *
 * Its life: `start()` resolves when every node says `cluster_state:ok` and every replica is in sync, after about 2 s
 * (masters refuse to serve before that). Each node is a {@link RedisServer} and may be killed, paused or restarted;
 * after 2 s without a master its replica takes over. Who owns which slot is asked of the nodes each time, so a failover
 * or a migration is seen. `stop()` ends all of it.
 *
 * @example
 * await using cluster = await RedisCluster.start({ masters: 3, replicas: 0 });
 * await cluster.client().set('greeting', 'hello');
 */
export class RedisCluster implements AsyncDisposable {
  /** Every node: the masters in the order of their slots, then the replicas, the first one of the first master, then the spares. */
  readonly servers: readonly RedisServer[];
  /** The addresses of all nodes, as clients take them. */
  readonly nodes: readonly Address[];
  readonly urls: readonly string[];
  readonly #clients = new OwnedClients();
  readonly #members: readonly Member[];

  private constructor(members: readonly Member[]) {
    this.#members = members;
    const servers = members.map(({ server }) => server);
    this.servers = servers;
    this.nodes = servers.map(({ host, port }) => ({ host, port }));
    this.urls = servers.map(({ url }) => url);
  }

  /**
   * @throws ServerBinaryError · ServerStartError when a node does not start · ClusterNotReadyError when the nodes do not
   * form a cluster; nothing is left running then
   */
  static async start({
    masters = 3,
    replicas = 1,
    spares = 0,
    args,
    bin,
  }: RedisClusterOptions = {}): Promise<RedisCluster> {
    const count = masters * (1 + replicas) + spares;
    const starts = await Promise.allSettled(Array.from({ length: count }, () => startMember({ args, bin })));
    const members = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
    try {
      for (const start of starts) if (start.status === 'rejected') throw start.reason;
      await withAll(members, (newcomers) => formCluster(newcomers, { masters, spares }));
      return new RedisCluster(members);
    } catch (error) {
      await stopAll(members);
      throw error;
    }
  }

  /** A new ioredis Cluster client, closed at `stop()`. */
  client(options: ClusterClientOptions = {}): Cluster {
    return this.#clients.own(
      new Cluster([...this.nodes], { ...options, redisOptions: { ...endingSoon, ...options.redisOptions } }),
    );
  }

  /** The nodes that are masters now and running, in the order of `servers`. */
  async masters(): Promise<RedisServer[]> {
    const ports = new Set((await this.#view()).filter(isMaster).map(({ port }) => port));
    return this.servers.filter((server) => server.running && ports.has(server.port));
  }

  /** Empties every master that runs, after having made sure that each one is the process started here. */
  async flush(): Promise<void> {
    await Promise.all((await this.masters()).map((master) => master.flush()));
  }

  /** The slot of `key`, 0 to 16383. */
  async slotOf(key: string): Promise<number> {
    return Number(await this.#anyone().ask((redis) => redis.call('CLUSTER', 'KEYSLOT', key)));
  }

  /** The master that owns `key` now. */
  async nodeOf(key: string): Promise<RedisServer> {
    return this.#ownerOf(await this.slotOf(key));
  }

  /**
   * Moves a slot and its keys to another master, as a live resharding does. When it resolves, every master knows:
   * clients that still ask the old owner get MOVED.
   *
   * @param slot 0 to 16383; `slotOf(key)` tells which
   * @throws ClusterNotReadyError when `to` is not a master of this cluster
   */
  async migrateSlot(slot: number, to: RedisServer, { during }: MigrateSlotOptions = {}): Promise<void> {
    if (!Number.isInteger(slot) || slot < 0 || slot >= SLOTS)
      throw new ClusterNotReadyError(`There is no slot ${slot}.`);
    const masters = await this.masters();
    if (!masters.includes(to))
      throw new ClusterNotReadyError(`Port ${to.port} is not a running master of this cluster.`);
    const from = await this.#ownerOf(slot);
    if (from === to) return;
    await moveSlot({ slot, from, to, masters, ...(during && { during }) });
  }

  /** Closes its clients and stops every node. Safe to call twice. */
  async stop(): Promise<void> {
    this.#clients.close();
    await stopAll(this.#members);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #ownerOf(slot: number): Promise<RedisServer> {
    const owns = ({ slots }: NodeView) => slots.some(([from, to]) => from <= slot && slot <= to);
    const port = (await this.#view()).filter(isMaster).find(owns)?.port;
    const owner = this.servers.find((server) => server.port === port);
    if (owner === undefined) throw new ClusterNotReadyError(`No master owns slot ${slot} now.`);
    return owner;
  }

  #view(): Promise<NodeView[]> {
    return this.#anyone().ask(viewOf);
  }

  #anyone(): RedisServer {
    const running = this.servers.find((server) => server.running && !server.paused);
    if (running === undefined) throw new ClusterNotReadyError('No node of the cluster is running and not paused.');
    return running;
  }
}

function isMaster({ flags }: NodeView): boolean {
  return flags.includes('master') && !flags.includes('fail');
}

async function startMember({ args = [], bin }: { args: readonly string[] | undefined; bin: string | undefined }) {
  return onFreePorts(2, async (claim): Promise<Member> => {
    const [port = 0, busPort = 0] = claim.ports;
    const clusterArgs = [
      '--cluster-enabled',
      'yes',
      '--cluster-port',
      String(busPort),
      '--cluster-node-timeout',
      '2000',
    ];
    // Every start is a new cluster: no replica wanders to a master that lost its own.
    const fixed = ['--cluster-allow-replica-migration', 'no'];
    const server = await RedisServer.start({
      port,
      args: [...clusterArgs, ...fixed, ...args],
      ...(bin !== undefined && { bin }),
    });
    return { server, busPort, claim };
  });
}

async function stopAll(members: readonly Member[]): Promise<void> {
  await Promise.all(
    members.map(async ({ server, claim }) => {
      await server.stop();
      await claim.release();
    }),
  );
}

/** Opens one connection to each member for the time of `work`. */
async function withAll(
  members: readonly Member[],
  work: (newcomers: Parameters<typeof formCluster>[0]) => Promise<void>,
): Promise<void> {
  const open = (index: number, newcomers: Parameters<typeof formCluster>[0]): Promise<void> => {
    const member = members[index];
    if (member === undefined) return work(newcomers);
    const { server, busPort } = member;
    const { host, port } = server;
    return server.ask((redis) => open(index + 1, [...newcomers, { redis, host, port, busPort }]));
  };
  await open(0, []);
}
