import { Redis } from 'ioredis';
import { ForeignServerError } from '../errors.js';
import { type ClientOptions, connectionOptions, type Endpoint, urlOf, withConnection } from './endpoint.js';
import { type ClaimedPorts, onFreePorts, unclaimed } from './free-ports.js';
import { endingSoon, OwnedClients } from './owned-clients.js';
import { findServerBinary } from './server-binary.js';
import { prepareCommand, type RedisServerOptions, type ServerCommand } from './server-command.js';
import { ServerProcess } from './server-process.js';
import { Workspace } from './workspace.js';

/**
 * A real Redis (or Valkey) server for one test, or for one spec file.
 *
 * Its life: `start()` resolves when it is ready. From then on it is running, paused (`pause`/`resume`) or down
 * (`kill`, or it crashed); `restart()` brings it back on the same port. `stop()` ends it for good: its clients are
 * closed, the process has ended and the temporary folder has gone when that resolves. If this process ends first, in
 * whatever way, the server and its folder go too.
 *
 * @example
 * await using server = await RedisServer.start();
 * const redis = server.client();
 * await redis.set('greeting', 'hello');
 */
export class RedisServer implements Endpoint, AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly password?: string;
  /** The certificate to trust, in PEM, when the server was started with `{ tls: true }`. */
  readonly tls?: { readonly ca: string };
  /** `redis://` or `rediss://`, with the password when there is one. */
  readonly url: string;
  readonly #workspace: Workspace;
  readonly #clients = new OwnedClients();
  readonly #keepsData: boolean;
  /** While it is down, somebody else's server would be started on its port, and it could not come back. */
  readonly #claim: Pick<ClaimedPorts, 'release'>;
  #command: ServerCommand;
  #process: ServerProcess;
  #paused = false;

  private constructor(
    workspace: Workspace,
    command: ServerCommand,
    process: ServerProcess,
    keepsData: boolean,
    claim: Pick<ClaimedPorts, 'release'>,
  ) {
    const { host, port, password, tls } = command.endpoint;
    this.host = host;
    this.port = port;
    if (password !== undefined) this.password = password;
    if (tls !== undefined) this.tls = tls;
    this.url = urlOf(command.endpoint);
    this.#workspace = workspace;
    this.#command = command;
    this.#process = process;
    this.#keepsData = keepsData;
    this.#claim = claim;
  }

  /**
   * Starts a server on 127.0.0.1 and resolves when it is ready, in 50 to 100 ms. It saves nothing unless `args` say so.
   *
   * @throws ServerBinaryError when there is no server to run · ServerStartError with the end of the server's log
   */
  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    const bin = findServerBinary(options.bin);
    const workspace = await Workspace.open();
    try {
      const commandOn = await prepareCommand(bin, workspace.directory, options);
      const launch = async (port: number, claim: Pick<ClaimedPorts, 'release'>) => {
        const command = commandOn(port);
        const process = await ServerProcess.launch(command);
        return new RedisServer(workspace, command, process, options.dataDir !== undefined, claim);
      };
      if (options.port !== undefined) return await launch(options.port, unclaimed);
      return await onFreePorts(1, (claimed) => launch(claimed.ports[0] ?? 0, claimed));
    } catch (error) {
      await workspace.close();
      throw error;
    }
  }

  /** The process id of the current run, or of the last one when the server is down. */
  get pid(): number {
    return this.#process.pid;
  }

  /** Whether the process exists; a paused server does. */
  get running(): boolean {
    return this.#process.alive;
  }

  /** Whether `pause()` is in force. */
  get paused(): boolean {
    return this.#paused && this.running;
  }

  /** A new ioredis client of this server, closed at `stop()`. Errors of its connection reach you by its commands. */
  client(options: ClientOptions = {}): Redis {
    return this.#clients.own(new Redis({ ...connectionOptions(this), ...endingSoon, ...options }));
  }

  /**
   * Empties every database, after having made sure that the process that answers is the one started here.
   *
   * @throws ForeignServerError when it is another one; nothing was changed then
   */
  async flush(): Promise<void> {
    await this.ask(async (redis) => {
      const answering = Number(/^process_id:(\d+)/m.exec(await redis.info('server'))?.[1]);
      if (answering !== this.pid) throw new ForeignServerError(this.port, this.pid, answering);
      await redis.flushall();
    });
  }

  /** Opens a connection for `work`, closes it afterwards, and fails at once if the server cannot be reached. */
  async ask<T>(work: (redis: Redis) => Promise<T>): Promise<T> {
    return withConnection(this, work);
  }

  /** SIGKILL: nothing is saved, no client is told. Resolves when the process has ended. */
  async kill(): Promise<void> {
    await this.#process.kill();
  }

  /**
   * Starts the server again on the same port, killing it first if it runs. Only what its persistence had written is
   * there again, so by default it comes back empty.
   *
   * @param options.args replaces the `args` given to `start` from now on; a node of a Cluster is none without those that it was started with
   * @param options.extraArgs come after them from now on, so they win
   */
  async restart(options: { args?: readonly string[]; extraArgs?: readonly string[] } = {}): Promise<void> {
    await this.#process.kill();
    this.#paused = false;
    const { args = this.#command.args, extraArgs = [] } = options;
    this.#command = { ...this.#command, args: [...args, ...extraArgs] };
    this.#process = await ServerProcess.launch(this.#command);
  }

  /** SIGSTOP: connections stay open and nothing is answered, as with a stalled or unreachable machine. */
  pause(): void {
    this.#process.signal('SIGSTOP');
    this.#paused = true;
  }

  /** SIGCONT: a paused server goes on, and carries out what was sent to it meanwhile. */
  resume(): void {
    this.#process.signal('SIGCONT');
    this.#paused = false;
  }

  /** Closes its clients, ends the process and removes the temporary folder. Safe to call twice. */
  async stop(): Promise<void> {
    this.#clients.close();
    await (this.#keepsData ? this.#process.shutDown() : this.#process.kill());
    await this.#claim.release();
    await this.#workspace.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
