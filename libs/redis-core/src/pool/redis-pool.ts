import type { Redis } from 'ioredis';
import { withinBudget } from '../connection/budget.js';
import { hashSlot } from '../keys/hash-slot.js';
import { closeClient, cutClient } from '../connection/shutdown.js';
import { OptionsError, PoolExhaustedError, RedisUnavailableError } from '../redis.errors.js';

export interface PoolOptions {
  readonly max: number;
  readonly acquireTimeoutMs: number;
  readonly shutdownTimeoutMs: number;
}

/** Opens connections for the pool. `node` is undefined except on a Cluster. */
export interface PoolClients {
  create(node: string | undefined): Redis;
  /** The master that owns a slot, on a Cluster; undefined elsewhere. */
  ownerOf(slot: number): string | undefined;
  readonly cluster: boolean;
  /** Brings an error of ioredis to one of ours. */
  toError(error: unknown): unknown;
}

interface Waiter {
  readonly node: string | undefined;
  resolve(client: Redis): void;
  reject(error: Error): void;
}

/**
 * Connections of your own for what can't share one: WATCH … MULTI … EXEC across awaits, and blocking calls.
 *
 * A bounded number of connections, opened when needed and kept for the next caller. Callers beyond `max` wait in order, at most
 * `acquireTimeout`. A connection goes back without watches (UNWATCH); if your function threw, or the connection broke, it is closed instead,
 * so that nobody inherits a half-open transaction. A connection that breaks while it is lent does not reconnect: a WATCH would be gone without
 * anybody noticing, so the calls of that `use` reject.
 *
 * Plain commands don't need it: one shared connection with everything of a tick in one write is faster than a pool.
 */
export class RedisPool {
  readonly #idle: { readonly node: string | undefined; readonly client: Redis }[] = [];
  readonly #busy = new Set<Redis>();
  readonly #waiters: Waiter[] = [];
  #closed = false;

  constructor(
    private readonly options: PoolOptions,
    private readonly clients: PoolClients,
  ) {}

  /** Connections open or being used. Never above `max`. */
  get size(): number {
    return this.#idle.length + this.#busy.size;
  }

  /**
   * Lends a connection to `work` for as long as it runs.
   *
   * @param options.key on a Cluster: a key of the transaction; the connection leads to the master that owns its slot
   * @throws PoolExhaustedError when no connection became free in time · RedisUnavailableError when Redis can't be reached, or the connection
   *   broke under way · what `work` throws
   * @example
   * await pool.use(async (redis) => {
   *   await redis.watch(key);
   *   const balance = Number(await redis.get(key));
   *   return redis.multi().set(key, balance - 10).exec(); // null: somebody else was faster
   * });
   */
  async use<T>(work: (client: Redis) => Promise<T>, options: { key?: string } = {}): Promise<T> {
    const node = this.#nodeOf(options.key);
    const client = await this.#acquire(node);
    let reusable = false;
    try {
      const result = await work(client);
      reusable = true;
      return result;
    } catch (error) {
      throw this.clients.toError(error);
    } finally {
      await this.#giveBack(client, node, reusable);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(closedError());
    // A lent connection may be blocked: it is cut, and its user's call rejects.
    for (const client of this.#busy) cutClient(client);
    await Promise.all(this.#idle.splice(0).map(({ client }) => closeClient(client, this.options.shutdownTimeoutMs)));
  }

  #nodeOf(key: string | undefined): string | undefined {
    if (!this.clients.cluster) return undefined;
    if (key === undefined) {
      throw new OptionsError('RedisPool.use({ key })', 'is missing: on a Cluster it tells which node to connect to.');
    }
    return this.clients.ownerOf(hashSlot(key));
  }

  #acquire(node: string | undefined): Promise<Redis> {
    if (this.#closed) return Promise.reject(closedError());
    const free = this.#takeIdle(node);
    if (free !== undefined) return Promise.resolve(free);
    return new Promise((resolve, reject) => {
      const settle = () => {
        clearTimeout(timer);
        const index = this.#waiters.indexOf(waiter);
        if (index >= 0) this.#waiters.splice(index, 1);
      };
      const waiter: Waiter = {
        node,
        resolve: (client) => {
          settle();
          resolve(client);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      };
      const timer = setTimeout(() => {
        waiter.reject(new PoolExhaustedError(this.options.max, this.options.acquireTimeoutMs));
      }, this.options.acquireTimeoutMs);
      this.#waiters.push(waiter);
    });
  }

  /** An idle connection to the node, a new one, or undefined when `max` are in use. */
  #takeIdle(node: string | undefined): Redis | undefined {
    const index = this.#idle.findIndex((idle) => idle.node === node);
    const [match] = index >= 0 ? this.#idle.splice(index, 1) : [];
    if (match !== undefined) {
      this.#busy.add(match.client);
      return match.client;
    }
    if (this.size >= this.options.max) {
      // An idle connection to another node makes room.
      const [other] = this.#idle.splice(0, 1);
      if (other === undefined) return undefined;
      cutClient(other.client);
    }
    const client = this.clients.create(node);
    this.#busy.add(client);
    return client;
  }

  async #giveBack(client: Redis, node: string | undefined, reusable: boolean): Promise<void> {
    const clean = reusable && !this.#closed && (await this.#unwatch(client));
    this.#busy.delete(client);
    if (clean && !this.#closed) this.#idle.push({ node, client });
    else cutClient(client);
    const next = this.#waiters[0];
    if (next === undefined) return;
    const free = this.#takeIdle(next.node);
    if (free !== undefined) next.resolve(free);
  }

  async #unwatch(client: Redis): Promise<boolean> {
    if (client.status !== 'ready' || !isAsItWas(client)) return false;
    try {
      await withinBudget(client.unwatch(), this.options.shutdownTimeoutMs, () => new Error('still busy'));
      return true;
    } catch {
      // Broken, blocked, or left inside MULTI: it is closed, which resets it as well.
      return false;
    }
  }
}

/** Whether the last borrower left the database as it was, and no subscription behind. */
function isAsItWas({ condition, options }: Redis): boolean {
  return condition === null || (condition.select === (options.db ?? 0) && condition.subscriber === false);
}

function closedError(): Error {
  return new RedisUnavailableError('RedisPool: the connection is closed.', 'not-executed');
}
