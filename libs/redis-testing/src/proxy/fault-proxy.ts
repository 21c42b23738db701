import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { FaultNotPossibleError } from '../errors.js';
import { type Endpoint, urlOf } from '../server/endpoint.js';
import { LOOPBACK } from '../server/free-ports.js';
import { ActiveFaults } from './faults/active-faults.js';
import { Blackhole } from './faults/blackhole.js';
import { DropReply, type DropReplyOptions } from './faults/drop-reply.js';
import type { FaultHandle } from './faults/fault.js';
import { Latency, type LatencyOptions } from './faults/latency.js';
import { Refuse } from './faults/refuse.js';
import { Reset, ResetAfterCommand } from './faults/reset.js';
import { Slice } from './faults/slice.js';
import { Link } from './link.js';
import { resetSocket } from './reset-socket.js';

/**
 * A TCP proxy in front of a Redis server that makes the network fail on demand.
 *
 * Its life: `start()` resolves when it listens on a free port of 127.0.0.1, and until somebody injects a fault it only
 * passes bytes and counts commands. Every fault method injects at once and returns a handle that counts how often the
 * fault struck and ends it. Faults add up. `stop()` ends them all, resets the open connections and closes the port.
 * The server behind may be killed and restarted meanwhile: each connection reaches for it anew.
 *
 * @example
 * await using server = await RedisServer.start();
 * await using proxy = await FaultProxy.start(server);
 * const redis = new Redis(proxy.url);
 * const slow = proxy.latency(200);
 * await redis.get('order:1'); // 200 ms
 * expect(slow.injected).toBeGreaterThan(0);
 */
export class FaultProxy implements AsyncDisposable {
  readonly host = LOOPBACK;
  readonly port: number;
  /** The server's URL, password included, with the port of the proxy. */
  readonly url: string;
  /** How many of each command went to the server, by name in capitals. Yours to `clear()`. */
  readonly commands = new Map<string, number>();
  readonly #faults = new ActiveFaults();
  readonly #links = new Set<Link>();

  readonly #target: Endpoint;
  readonly #listener: Server;

  private constructor(target: Endpoint, listener: Server, port: number) {
    this.#target = target;
    this.#listener = listener;
    this.port = port;
    const { password, tls } = target;
    this.url = urlOf({ host: this.host, port, ...(password !== undefined && { password }), ...(tls && { tls }) });
    listener.on('connection', (client) => {
      this.#accept(client);
    });
  }

  /**
   * Starts a proxy to a {@link RedisServer} or to any address.
   *
   * A server with TLS is passed through encrypted: faults that need to read commands are not possible then.
   */
  static async start(target: Endpoint): Promise<FaultProxy> {
    const listener = createServer({ allowHalfOpen: true });
    listener.listen({ host: LOOPBACK, port: 0 });
    await once(listener, 'listening');
    listener.unref(); // a forgotten proxy does not keep the process alive
    const address = listener.address();
    if (address === null || typeof address === 'string') throw new Error('A listening TCP server has a port.');
    return new FaultProxy(target, listener, address.port);
  }

  /** How many clients are connected now. */
  get connections(): number {
    return this.#links.size;
  }

  /** Delays every packet of one way by `ms`, plus jitter; replies by default. The order of packets stays. */
  latency(ms: number, options: LatencyOptions = {}): FaultHandle {
    return this.#faults.add(new Latency(ms, options));
  }

  /**
   * Holds everything in both ways while connections stay open, as a partition does: the client sees silence. When the
   * fault ends, what was held is delivered, so a command that its sender has given up may still be carried out.
   */
  blackhole(): FaultHandle {
    return this.#faults.add(new Blackhole());
  }

  /**
   * Drops the reply of the next command of this name, after the server has carried it out. Then the connection is reset
   * (`thenReset: true`), or stays open and silent until somebody closes it: no later reply may pass, since the client
   * would take it for the lost one.
   *
   * @throws FaultNotPossibleError when the server uses TLS
   */
  dropReply(command: string, options: DropReplyOptions = {}): FaultHandle {
    this.#mustRead('dropReply');
    return this.#faults.add(new DropReply(command, options));
  }

  /** Resets (RST) every open connection, once. New ones are welcome. */
  reset(): FaultHandle {
    return new Reset(this.#resetAll());
  }

  /**
   * Resets the client's connection as soon as the next command of this name has gone to the server, which carries it
   * out. Commands behind it in the same pipeline do not reach the server.
   *
   * @throws FaultNotPossibleError when the server uses TLS
   */
  resetAfterCommand(command: string, { times = 1 }: { times?: number } = {}): FaultHandle {
    this.#mustRead('resetAfterCommand');
    return this.#faults.add(new ResetAfterCommand(command, times));
  }

  /** Cuts all traffic of both ways into packets of `bytes` that arrive one by one. */
  slice(bytes = 1): FaultHandle {
    return this.#faults.add(new Slice(bytes));
  }

  /** Resets the open connections and each new one, until the fault ends. */
  refuse(): FaultHandle {
    return this.#faults.add(new Refuse(this.#resetAll()));
  }

  /** Ends every fault, resets the open connections and closes the port. Safe to call twice. */
  async stop(): Promise<void> {
    this.#resetAll();
    this.#faults.stopAll();
    if (!this.#listener.listening) return;
    await new Promise((resolve) => this.#listener.close(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #accept(client: Socket): void {
    if (this.#faults.refuses()) {
      resetSocket(client);
      return;
    }
    const { host, port } = this.#target;
    const server = connect({ host, port, allowHalfOpen: true });
    const context = { faults: this.#faults, commands: this.commands, readable: this.#target.tls === undefined };
    const link = new Link(client, server, context, () => this.#links.delete(link));
    this.#links.add(link);
  }

  #resetAll(): number {
    const open = [...this.#links];
    for (const link of open) link.reset();
    this.#links.clear();
    return open.length;
  }

  #mustRead(fault: string): void {
    if (this.#target.tls === undefined) return;
    throw new FaultNotPossibleError(`${fault} cannot read the commands of a server with TLS. Use one without.`);
  }
}
