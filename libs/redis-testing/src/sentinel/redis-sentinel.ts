import { Redis } from 'ioredis';
import { SentinelNotReadyError } from '../errors.js';
import { eventually } from '../eventually.js';
import { type Address, type ClientOptions, withConnection } from '../server/endpoint.js';
import { infoField } from '../server/info-field.js';
import { endingSoon, OwnedClients } from '../server/owned-clients.js';
import { RedisServer } from '../server/redis-server.js';
import { findServerBinary } from '../server/server-binary.js';
import { Workspace } from '../server/workspace.js';
import { type SentinelGroup, startSentinels } from './sentinel-process.js';

/** How to start a {@link RedisSentinel}. */
export interface RedisSentinelOptions {
  /** How many sentinels watch; a majority of them must agree on a failover. @default 3 */
  sentinels?: number;
  /** How long the master must be silent before a sentinel calls it down, in ms; `failover()` does not wait for it. @default 2500: a machine that stalls is no reason to fail over */
  downAfter?: number;
  /** Arguments of both Redis servers, after ours. */
  args?: readonly string[];
  /** The server to run. @default as for RedisServer */
  bin?: string;
}

const MASTER_NAME = 'redstart';
/** Of a master that has been killed. */
const DEAD_AFTER_MS = 500;
/** A sentinel that has stood still for 2 s trusts nothing for the next 30 s, and fails nothing over. */
const WITHIN_MS = 45_000;

/**
 * A master and a replica watched by sentinels, all on 127.0.0.1.
 *
 * Its life: `start()` resolves when both servers and all sentinels run. `failover()` kills the master; the replica is
 * the master from then on and has no replica itself. `rejoin()` brings the killed server back as that replica, after
 * which another failover is possible. `stop()` ends all of it.
 *
 * @example
 * await using redis = await RedisSentinel.start();
 * const client = redis.client();
 * await redis.failover();
 * await client.get('order:1'); // answered by the new master
 */
export class RedisSentinel implements AsyncDisposable {
  /** The name under which clients ask for the master. */
  readonly masterName = MASTER_NAME;
  /** The addresses of the sentinels, as clients take them. */
  readonly sentinels: readonly Address[];
  readonly #clients = new OwnedClients();
  readonly #servers: readonly [RedisServer, RedisServer];
  #master: RedisServer;

  readonly #workspace: Workspace;
  readonly #group: SentinelGroup;
  readonly #args: readonly string[];
  readonly #downAfterMs: number;

  private constructor(
    workspace: Workspace,
    servers: readonly [RedisServer, RedisServer],
    group: SentinelGroup,
    args: readonly string[],
    downAfterMs: number,
  ) {
    this.#workspace = workspace;
    this.#group = group;
    this.#args = args;
    this.#downAfterMs = downAfterMs;
    this.#servers = servers;
    this.#master = servers[0];
    this.sentinels = group.processes.map(({ endpoint: { host, port } }) => ({ host, port }));
  }

  /** @throws ServerBinaryError · ServerStartError; nothing is left running then */
  static async start(options: RedisSentinelOptions = {}): Promise<RedisSentinel> {
    const { sentinels = 3, downAfter = 2_500, args = [] } = options;
    const bin = findServerBinary(options.bin);
    const undo: (() => Promise<void>)[] = [];
    try {
      const workspace = await Workspace.open();
      undo.push(() => workspace.close());
      const master = await RedisServer.start({ bin, args });
      undo.push(() => master.stop());
      const replica = await RedisServer.start({ bin, args: [...replicaOf(master), ...args] });
      undo.push(() => replica.stop());
      const watch = { masterName: MASTER_NAME, master, replica, downAfterMs: downAfter };
      const group = await startSentinels(bin, workspace.directory, sentinels, watch);
      return new RedisSentinel(workspace, [master, replica], group, args, downAfter);
    } catch (error) {
      await Promise.all(undo.map((step) => step()));
      throw error;
    }
  }

  /** The server that the sentinels last announced as master. */
  get master(): RedisServer {
    return this.#master;
  }

  /** The other server: a replica, or down after a failover. */
  get replica(): RedisServer {
    const [first, second] = this.#servers;
    return this.#master === first ? second : first;
  }

  /** A new ioredis client that finds the master by the sentinels, closed at `stop()`. */
  client(options: ClientOptions = {}): Redis {
    const found = { sentinels: this.sentinels.map((address) => ({ ...address })), name: this.masterName };
    return this.#clients.own(new Redis({ ...found, ...endingSoon, ...options }));
  }

  /** Empties the present master, after having made sure that it is a process started here. */
  async flush(): Promise<void> {
    await this.#refresh();
    await this.#master.flush();
  }

  /**
   * Kills the master (SIGKILL) once the replica is in sync and a majority of sentinels is ready, and resolves with the
   * new master when all sentinels announce it, about 2 s later. What the old master had not replicated yet is lost.
   *
   * @throws SentinelNotReadyError when there is no replica in sync (after a failover, call `rejoin()` first), or when
   * no new master was announced in time
   */
  async failover(): Promise<RedisServer> {
    await this.#refresh();
    const [old, next] = [this.master, this.replica];
    if (!next.running) {
      throw new SentinelNotReadyError('There is no replica to fail over to. Call rejoin() after a failover.');
    }
    await this.#wait('The replica or the sentinels did not become ready', () => this.#readyToFailOver());
    await old.kill();
    await this.#bearWith(Math.min(DEAD_AFTER_MS, this.#downAfterMs));
    await this.#wait('The sentinels announced no new master', async () => {
      await Promise.all(this.sentinels.map((address) => this.#announces(address, next)));
      const role = infoField(await next.ask((redis) => redis.info('replication')), 'role');
      if (role !== 'master') throw new Error(`Port ${next.port} is still a ${role ?? '?'}.`);
    });
    await this.#bearWith(this.#downAfterMs);
    this.#master = next;
    return next;
  }

  /** Starts the server that a failover killed as a replica of the present master; resolves when it is in sync. */
  async rejoin(): Promise<void> {
    await this.#refresh();
    await this.replica.restart({ args: [...replicaOf(this.master), ...this.#args] });
    await this.#wait('The replica did not get in sync', () => this.#inSync());
  }

  /** Closes its clients, stops every process and removes the temporary folders. Safe to call twice. */
  async stop(): Promise<void> {
    this.#clients.close();
    await Promise.all(this.#group.processes.map(({ process }) => process.kill())); // first, so that they fail over nothing
    await Promise.all(this.#servers.map((server) => server.stop()));
    await this.#group.claim.release();
    await this.#workspace.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Follows a failover that was not ours: a test may have killed or paused the master itself. */
  async #refresh(): Promise<void> {
    const ports = await Promise.all(this.sentinels.map((address) => this.#announcedPort(address)));
    const majority = this.#servers.find(({ port }) => ports.filter((p) => p === port).length * 2 > ports.length);
    this.#master = majority ?? this.#master;
  }

  /** For how long a server may be silent, from now on. */
  async #bearWith(silentMs: number): Promise<void> {
    const setting = [this.masterName, 'down-after-milliseconds', silentMs];
    await Promise.all(
      this.sentinels.map((address) => withConnection(address, (redis) => redis.call('SENTINEL', 'SET', ...setting))),
    );
  }

  async #readyToFailOver(): Promise<void> {
    await this.#inSync();
    await Promise.all(
      this.sentinels.map((address) =>
        withConnection(address, async (redis) => {
          await redis.call('SENTINEL', 'CKQUORUM', this.masterName); // an error reply when too few are usable
          const text = JSON.stringify(await redis.call('SENTINEL', 'REPLICAS', this.masterName));
          if (!text.includes('"master-link-status","ok"')) throw new Error(`Sentinel ${address.port} sees no replica.`);
        }),
      ),
    );
  }

  async #inSync(): Promise<void> {
    const status = infoField(await this.replica.ask((redis) => redis.info('replication')), 'master_link_status');
    if (status !== 'up') throw new Error(`The replica says master_link_status:${status ?? '?'}.`);
  }

  async #announces(sentinel: Address, server: RedisServer): Promise<void> {
    const port = await this.#announcedPort(sentinel);
    if (port !== server.port) throw new Error(`Sentinel ${sentinel.port} still announces port ${port}.`);
  }

  async #announcedPort(sentinel: Address): Promise<number> {
    const [, port] = (await withConnection(sentinel, (redis) =>
      redis.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', this.masterName),
    )) as [string, string];
    return Number(port);
  }

  async #wait(failure: string, condition: () => Promise<void>): Promise<void> {
    await eventually(condition, { within: WITHIN_MS }).catch((cause: unknown) => {
      throw new SentinelNotReadyError(`${failure}. ${String(cause)}`, { cause });
    });
  }
}

function replicaOf({ host, port }: Address): string[] {
  return ['--replicaof', host, String(port)];
}
