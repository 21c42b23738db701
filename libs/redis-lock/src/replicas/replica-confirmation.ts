import { evaluate, RedisCommandError, type RedisClient, type RedisConnection } from '@redstart/redis-core';
import type { LockRuntime } from '../lock-runtime.js';
import { extendCall, extendScript } from '../scripts/extend.js';

/** A lock that was granted on the master. */
export interface Grant {
  readonly keys: readonly string[];
  readonly owner: string;
  readonly ttlMs: number;
}

export interface Confirmation {
  /** Whether the master still had it for this owner, when the replicas were asked. */
  readonly held: boolean;
  /** How many replicas have everything up to that moment. */
  readonly replicas: number;
}

interface Pending extends Grant {
  readonly resolve: (confirmation: Confirmation) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Has grants confirmed by replicas, on a connection of its own: WAIT blocks whatever is sent behind it.
 *
 * - *idle*: nothing is to be confirmed. The connection is opened for the first grant and kept.
 * - *confirming*: the grants of a batch are extended by their owner on that connection, then WAIT tells how many replicas have followed so far. Grants that come
 *   meanwhile make up the next batch: any number of them waits for two WAITs at most, not for one each.
 * - A batch that the master refuses is confirmed one by one, so that what is wrong with one lock is told to its own caller only.
 * - After a failure the connection is dropped, so that nothing which it has queued is sent later.
 *
 * WAIT covers what its connection has written, and everything that the master did before: hence the extension. It also tells a master that has the lock from
 * one that came into office without it.
 */
export class ReplicaConfirmation {
  readonly #connection: RedisConnection;
  #client: RedisClient | undefined;
  #next: Pending[] = [];
  #confirming = false;

  constructor(private readonly runtime: LockRuntime) {
    this.#connection = runtime.connection;
  }

  /** @throws RedisUnavailableError when the master does not answer */
  confirm(grant: Grant): Promise<Confirmation> {
    return new Promise((resolve, reject) => {
      this.#next.push({ ...grant, resolve, reject });
      if (!this.#confirming) void this.#confirmAll();
    });
  }

  async #confirmAll(): Promise<void> {
    this.#confirming = true;
    while (this.#next.length > 0) {
      const batch = this.#next;
      this.#next = [];
      await this.#confirmOrReject(batch);
    }
    this.#confirming = false;
  }

  async #confirmOrReject(batch: readonly Pending[]): Promise<void> {
    try {
      await this.#confirmBatch(batch);
    } catch (error) {
      this.#drop();
      // A missing permission for one lock is no matter of the others.
      if (batch.length > 1 && error instanceof RedisCommandError) {
        for (const grant of batch) await this.#confirmOrReject([grant]);
      } else {
        for (const { reject } of batch) reject(error);
      }
    }
  }

  async #confirmBatch(batch: readonly Pending[]): Promise<void> {
    const { options } = this.runtime;
    const waitMs = Math.max(...batch.map(({ ttlMs }) => options.budgetMs(ttlMs)));
    // The extension has its budget, then WAIT uses its own up.
    const call = { library: 'redis-lock', operation: 'lock.replicate', budgetMs: waitMs * 2 };
    const { held, replicas } = await this.#connection.call(call, async () => {
      const client = (this.#client ??= this.#connection.blocking());
      const extended = await Promise.all(batch.map((grant) => extend(client, grant)));
      return { held: extended, replicas: await client.wait(options.replicas, waitMs) };
    });
    batch.forEach(({ resolve, reject }, index) => {
      const answer = held[index];
      if (typeof answer === 'boolean') resolve({ held: answer, replicas });
      else reject(answer);
    });
  }

  #drop(): void {
    if (this.#client !== undefined) this.#connection.release(this.#client);
    this.#client = undefined;
  }
}

/** By one script for all keys of a lock: whether it still has all of them, or why the master can't tell. */
async function extend(client: RedisClient, { keys, owner, ttlMs }: Grant): Promise<boolean | Error> {
  const entries = keys.map((key) => ({ key, owner, ttlMs }));
  const answers = await evaluate(client, { script: extendScript, ...extendCall(entries, ttlMs) });
  const failure = answers.find((answer) => typeof answer !== 'boolean');
  return failure ?? !answers.includes(false);
}
