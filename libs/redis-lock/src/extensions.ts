import { hashSlot, RedisCommandError } from '@redstart/redis-core';
import type { LockRuntime } from './lock-runtime.js';
import { extendAll, type ExtendEntry } from './scripts/extend.js';

interface Pending extends ExtendEntry {
  readonly resolve: (extended: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/** As many leases as one script may take, so that it never holds up the server. Each permit is one. */
const largestBatch = 100;

interface Batch {
  readonly entries: Pending[];
  leases: number;
}

/**
 * Sends extensions of leases, of all kinds: by itself when a user asks for one, with few scripts for all that the renewer picks up {@link together}.
 *
 * One that fails, because its key is not a string for instance, fails alone. So does one that has the script refused as a whole, because its key is not permitted any
 * more: they are sent one by one then. An outage is told to all.
 */
export class Extensions {
  /** The scripts to come, by slot and ttl: one node and one budget for all of a script. Only while being collected. */
  #collected: Map<string, Batch> | undefined;

  constructor(private readonly runtime: LockRuntime) {}

  /**
   * @returns whether the owner still had its lease
   * @throws RedisUnavailableError · RedisCommandError
   */
  extend(entry: ExtendEntry): Promise<boolean> {
    return new Promise<boolean>((resolve, reject) => {
      const pending = { ...entry, resolve, reject };
      if (this.#collected === undefined) void this.#send([pending], false);
      else this.#collect(this.#collected, pending);
    });
  }

  /** Runs `work`, and sends whatever it wants extended before it returns in as few scripts as possible. */
  together<T>(work: () => T): T {
    const collected = (this.#collected = new Map<string, Batch>());
    try {
      return work();
    } finally {
      this.#collected = undefined;
      for (const { entries } of collected.values()) void this.#send(entries, true);
    }
  }

  #collect(collected: Map<string, Batch>, pending: Pending): void {
    const slot = this.runtime.connection.cluster ? hashSlot(pending.key) : 0;
    const group = `${slot}:${pending.ttlMs}`;
    const batch = collected.get(group) ?? { entries: [], leases: 0 };
    batch.entries.push(pending);
    batch.leases += typeof pending.among === 'object' ? pending.among.permits : 1;
    collected.set(group, batch);
    if (batch.leases < largestBatch) return;
    collected.delete(group);
    void this.#send(batch.entries, true);
  }

  /** @param essential whether nobody waits for it, and leases hang on it */
  async #send(batch: readonly Pending[], essential: boolean): Promise<void> {
    const [first] = batch;
    if (first === undefined) return;
    try {
      const outcomes = await extendAll(this.runtime, batch, { ttlMs: first.ttlMs, essential });
      batch.forEach(({ resolve, reject }, index) => {
        const outcome = outcomes[index];
        if (typeof outcome === 'boolean') resolve(outcome);
        else reject(outcome);
      });
    } catch (error) {
      const isOfOne = batch.length > 1 && error instanceof RedisCommandError;
      for (const pending of batch) {
        if (isOfOne) void this.#send([pending], essential);
        else pending.reject(error);
      }
    }
  }
}
