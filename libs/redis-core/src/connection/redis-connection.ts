import type { Redis } from 'ioredis';
import { Breaker } from '../breaker/breaker.js';
import { hashSlot } from '../keys/hash-slot.js';
import type { KeySpace } from '../keys/key-space.js';
import { LeaseRenewer } from '../lease/lease-renewer.js';
import { RedisPool } from '../pool/redis-pool.js';
import { RedisUnavailableError } from '../redis.errors.js';
import type { RedisClient, ResolvedRedisOptions } from '../redis.options.js';
import { ScriptRunner } from '../script/script-runner.js';
import { SubscriberHub } from '../subscriber/subscriber-hub.js';
import { systemClock, type Clock } from '../time/clock.js';
import { traceOperation } from '../telemetry/channels.js';
import { withinBudget } from './budget.js';
import { Capabilities } from './capabilities.js';
import { isCluster, ownerOf } from './cluster.js';
import { guardClient } from './client-guard.js';
import { createClient, createNodeClient } from './client-factory.js';
import { isOutage, toRedstartError } from './failures.js';
import { closeClient, cutClient } from './shutdown.js';
import { ConnectionWatch } from './connection-watch.js';
import { connectClient } from './startup.js';
import { describeTarget } from './target.js';

/** One call to Redis, as a feature library describes it. */
export interface RedisCall {
  /** Who calls, e.g. `redis-lock`: a label of telemetry. */
  readonly library: string;
  /** What for, e.g. `lock.acquire`: a label of telemetry, and the beginning of an error's message. */
  readonly operation: string;
  /** How long the whole call may take, waiting for a connection included, in milliseconds. */
  readonly budgetMs: number;
  /**
   * Sent also while the breaker is open. For the few calls in the background that others hang on, such as the renewal of a lease: refused until some probe has found Redis again, the lease would lapse with Redis there.
   * @default false
   */
  readonly essential?: boolean;
}

/** What `send` can know of the call it belongs to. */
export interface CallAttempt {
  /** The caller has been told of a failure, and relies on nothing more being sent. */
  readonly abandoned: boolean;
}

/**
 * One named connection to Redis and all that hangs on it.
 *
 * - *created*: no socket yet. `connect()` opens the request client, and waits for it with `startup: 'wait'`.
 * - *open*: `call()` sends. When the connection breaks, what is in flight rejects, and the client reconnects for ever, with jitter;
 *   calls made meanwhile wait for it within their budget. After some failures in a row the breaker refuses calls at once.
 * - *closing*: `close()` lets the feature libraries say goodbye ({@link beforeClose}), stops the renewer, the pool, the subscriber and every blocking client, then `quit`s the request client;
 *   what does not go within `shutdownTimeout` is cut. Calls reject.
 *
 * A client of the user's own serves the requests and is left open.
 */
export class RedisConnection {
  readonly name: string;
  /** What the connection leads to, for messages: hosts and ports, never credentials. */
  readonly place: string;
  readonly keys: KeySpace;
  readonly scripts: ScriptRunner;
  readonly subscriber: SubscriberHub;
  readonly pool: RedisPool;
  readonly capabilities: Capabilities;
  readonly leases: LeaseRenewer;
  readonly clock: Clock = systemClock;
  /** The raw client of the `request` profile, without budget and breaker. */
  readonly client: RedisClient;
  readonly #options: ResolvedRedisOptions;
  readonly #breaker: Breaker;
  readonly #watch: ConnectionWatch;
  readonly #blocking = new Set<RedisClient>();
  readonly #farewells: (() => Promise<void>)[] = [];
  #reader: RedisClient | undefined;
  #unguard: (() => void) | undefined;
  #closing: Promise<void> | undefined;
  #closed = false;

  constructor(options: ResolvedRedisOptions) {
    this.#options = options;
    this.name = options.name;
    this.keys = options.keys;
    this.place = describeTarget(options.target);
    this.client = createClient(options, 'request');
    this.capabilities = new Capabilities(this.client);
    this.scripts = new ScriptRunner(this);
    this.subscriber = new SubscriberHub({
      createClient: () => createClient(options, 'subscriber'),
      createNodeClient: (node) => createNodeClient(options, 'subscriber', this.client, node),
      request: this.client,
      capabilities: this.capabilities,
      place: this.place,
    });
    this.pool = new RedisPool(
      { ...options.pool, shutdownTimeoutMs: options.shutdownTimeoutMs },
      {
        cluster: isCluster(this.client),
        create: (node) => createNodeClient(options, 'lent', this.client, node),
        toError: (error) => toRedstartError(error, 'RedisPool.use', this.place),
        ownerOf: (slot) => ownerOf(this.client, slot),
      },
    );
    this.leases = new LeaseRenewer(systemClock, this.cluster ? hashSlot : () => 0);
    this.#breaker = new Breaker({ ...options.breaker, isOutage });
    this.#watch = new ConnectionWatch(this.client, this.place, { logFirstFailure: options.startup === 'lazy' }, () => {
      this.#breaker.reset();
    });
    if (!this.#ownsClient) this.#unguard = guardClient(this.client, this.name);
  }

  get cluster(): boolean {
    return isCluster(this.client);
  }

  get breakerState(): Breaker['state'] {
    return this.#breaker.state;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * The client to read from where a stale answer will do: with `readFrom: 'replica'` a replica as soon as one can be reached,
   * until then, and otherwise, {@link client}. Ask for it anew each time. Connects at its first use.
   */
  get reader(): RedisClient {
    const { readFrom, target } = this.#options;
    if (readFrom === 'master' || target.kind === 'standalone') return this.client;
    this.#reader ??= createClient(this.#options, 'request', 'replica');
    if (this.#reader.status === 'wait') {
      this.#reader.connect().catch(() => {
        // It goes on trying; until it is ready, the master answers.
      });
    }
    return this.#reader.status === 'ready' ? this.#reader : this.client;
  }

  /** Opens the request client. With `startup: 'wait'` resolves when Redis answers, and rejects when it does not in time. */
  async connect(): Promise<void> {
    await connectClient(this.client, this.#watch, this.#options, this.place);
  }

  /**
   * Sends to Redis within a budget.
   *
   * @param send gets the client when it is ready and returns the reply; called at most once. `attempt.abandoned` turns true when the caller has been
   *   told of a failure: nothing may be sent from then on
   * @throws RedisUnavailableError when Redis can't be reached or does not answer in time; its `outcome` tells whether the command may have
   *   been carried out · RedisCommandError when the server answers with an error · whatever `send` throws by itself
   */
  call<T>(call: RedisCall, send: (client: RedisClient, attempt: CallAttempt) => Promise<T>): Promise<T> {
    return traceOperation(
      () => ({ library: call.library, operation: call.operation, connection: this.name }),
      () => this.#guarded(call, send),
    );
  }

  /**
   * A new connection of the `blocking` profile, for one reader. Close it by {@link release}; what is left is closed with the connection.
   *
   * @param key on a Cluster: leads to the master that owns this key, as far as is known now, and to no other. When that one goes, or the key
   *   moves, the reader hears of it by its connection and asks for a new one. Without a key it is a client of the whole Cluster.
   */
  blocking(key?: string): RedisClient {
    if (this.closed) throw this.#closedError('blocking');
    const client = this.#createBlocking(key);
    this.#blocking.add(client);
    return client;
  }

  /**
   * A new connection of the `tracking` profile, unconnected, to one master. Close it by {@link release}; what is left is closed with the connection.
   *
   * @param node on a Cluster: the master, as `host:port`
   */
  tracking(node?: string): Redis {
    if (this.closed) throw this.#closedError('tracking');
    const client = createNodeClient(this.#options, 'tracking', this.client, node);
    this.#blocking.add(client);
    return client;
  }

  #createBlocking(key: string | undefined): RedisClient {
    if (key === undefined || !isCluster(this.client)) return createClient(this.#options, 'blocking');
    // Whoever asks may have lost its connection because the slot moved: the next one should know.
    this.client.refreshSlotsCache();
    return createNodeClient(this.#options, 'blocking', this.client, ownerOf(this.client, hashSlot(key)));
  }

  /** Closes a client that {@link blocking} or {@link tracking} gave out, at once: a blocked command does not hold it up. */
  release(client: RedisClient): void {
    this.#blocking.delete(client);
    cutClient(client);
  }

  /**
   * Registers what has to be said to Redis at the very end: run when the connection closes, with Redis still there, after the application's
   * requests have ended. For what `onApplicationShutdown` of a feature library would come too late for. Its failures are ignored: they say
   * that Redis is gone already.
   */
  beforeClose(farewell: () => Promise<void>): void {
    this.#farewells.push(farewell);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  #guarded<T>(call: RedisCall, send: (client: RedisClient, attempt: CallAttempt) => Promise<T>): Promise<T> {
    if (this.closed) return Promise.reject(this.#closedError(call.operation));
    if (!this.#breaker.healthy) {
      const work = () => this.#send(call, send);
      // It is the probe when one is due, and goes past the breaker otherwise.
      return this.#breaker.run(work, call.essential === true ? work : () => Promise.reject(this.#refusedError(call)));
    }
    return this.client.status === 'ready' ? this.#sendNow(call, send) : this.#countingOutages(this.#send(call, send));
  }

  /** The way of nearly every call: the connection is there, nothing has failed lately. It makes no promise that it can do without. */
  #sendNow<T>(call: RedisCall, send: (client: RedisClient, attempt: CallAttempt) => Promise<T>): Promise<T> {
    const attempt = { abandoned: false };
    const late = () => {
      attempt.abandoned = true;
      return this.#lateError(call, 'unknown');
    };
    const failed = (error: unknown): unknown => {
      const known = toRedstartError(error, call.operation, this.place);
      if (isOutage(known)) this.#breaker.recordOutage(known);
      return known;
    };
    let sent: Promise<T>;
    try {
      sent = send(this.client, attempt);
    } catch (error) {
      sent = Promise.reject(error);
    }
    return withinBudget(sent, call.budgetMs, late, failed);
  }

  #countingOutages<T>(result: Promise<T>): Promise<T> {
    result.catch((error: unknown) => {
      if (isOutage(error)) this.#breaker.recordOutage(error);
    });
    return result;
  }

  async #send<T>(call: RedisCall, send: (client: RedisClient, attempt: CallAttempt) => Promise<T>): Promise<T> {
    let outcome: 'not-executed' | 'unknown' = 'not-executed';
    const attempt = { abandoned: false };
    const work = async () => {
      // Nothing is handed to ioredis before it can be sent: what it queues, it would send long after the caller has given up.
      if (this.client.status !== 'ready') await this.#watch.ready();
      if (attempt.abandoned) throw this.#closedError(call.operation); // The caller has given up: nothing is sent behind its back.
      outcome = 'unknown';
      return send(this.client, attempt);
    };
    try {
      return await withinBudget(work(), call.budgetMs, () => {
        attempt.abandoned = true;
        return this.#lateError(call, outcome);
      });
    } catch (error) {
      throw toRedstartError(error, call.operation, this.place);
    }
  }

  #lateError({ operation, budgetMs }: RedisCall, outcome: 'not-executed' | 'unknown'): Error {
    if (outcome === 'unknown') {
      return new RedisUnavailableError(
        `${operation}: no answer of ${this.place} within ${budgetMs} ms; it may carry the command out all the same.`,
        outcome,
      );
    }
    const { lastFailure } = this.#watch;
    const reason = lastFailure === undefined ? '' : ` (${lastFailure.message})`;
    return new RedisUnavailableError(
      `${operation}: no connection to ${this.place} within ${budgetMs} ms${reason}; nothing was sent.`,
      outcome,
      lastFailure === undefined ? undefined : { cause: lastFailure },
    );
  }

  #refusedError({ operation }: RedisCall): Error {
    return new RedisUnavailableError(
      `${operation}: ${this.place} has not answered lately; not asked again for the moment.`,
      'not-executed',
    );
  }

  #closedError(operation: string): Error {
    return new RedisUnavailableError(`${operation}: the connection "${this.name}" is closed.`, 'not-executed');
  }

  async #close(): Promise<void> {
    const { shutdownTimeoutMs } = this.#options;
    const late = () => new Error('A farewell took too long.');
    await Promise.allSettled(this.#farewells.map((farewell) => withinBudget(farewell(), shutdownTimeoutMs, late)));
    this.#closed = true;
    this.leases.stop();
    this.capabilities.stop();
    for (const client of this.#blocking) cutClient(client);
    this.#blocking.clear();
    await Promise.all([
      this.subscriber.close(),
      this.pool.close(),
      this.#reader === undefined ? undefined : closeClient(this.#reader, shutdownTimeoutMs),
    ]);
    if (this.#ownsClient) await closeClient(this.client, shutdownTimeoutMs);
    else this.#unguard?.();
    this.#watch.stop();
  }

  get #ownsClient(): boolean {
    return this.#options.target.kind !== 'client';
  }
}
