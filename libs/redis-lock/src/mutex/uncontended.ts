import { hashSlot } from '@redstart/redis-core';
import type { AcquireReply } from '../lease.js';
import type { LockRuntime } from '../lock-runtime.js';
import { acquire, type AcquireRequest } from '../scripts/acquire.js';
import { free } from '../scripts/free.js';
import { release } from '../scripts/release.js';
import { take, type TakeEntry } from '../scripts/take.js';
import { TickBatch } from './tick-batch.js';

interface FirstAttempt extends TakeEntry, Omit<AcquireRequest, 'leastFence'> {}

interface Release extends TakeEntry {
  readonly ttlMs: number;
}

/**
 * The short way for locks that nobody else wants, which are nearly all: those that one tick of this process takes go to Redis in one script, and so do those that it
 * frees. Whichever is not free, or is waited for, goes on by its own script.
 */
export class Uncontended {
  readonly #attempts: TickBatch<FirstAttempt, AcquireReply>;
  readonly #releases: TickBatch<Release, boolean>;

  constructor(private readonly runtime: LockRuntime) {
    const ask = (attempt: FirstAttempt) => acquire(runtime, attempt.keys, { ...attempt, leastFence: 0 });
    const letGo = ({ keys, owner, ttlMs }: Release) => release(runtime, keys, owner, ttlMs, 0);
    this.#attempts = new TickBatch(this.#groupOf, (batch) => this.#takeAll(batch, ask), ask);
    this.#releases = new TickBatch(this.#groupOf, (batch) => this.#freeAll(batch, letGo), letGo);
  }

  /** The first attempt of an owner. */
  acquire(attempt: FirstAttempt): Promise<AcquireReply> {
    return this.#attempts.add(attempt);
  }

  release(held: Release): Promise<boolean> {
    return this.#releases.add(held);
  }

  /** One node and one budget for all of a script. */
  readonly #groupOf = ({ keys, ttlMs }: TakeEntry & { readonly ttlMs: number }): string =>
    `${this.runtime.connection.cluster ? hashSlot(keys.holder) : 0}:${ttlMs}`;

  async #takeAll(batch: readonly FirstAttempt[], ask: (attempt: FirstAttempt) => Promise<AcquireReply>) {
    const tokens = await take(this.runtime, batch, batch[0]?.ttlMs ?? 0);
    // What was granted does not wait for what has to ask again.
    return batch.map((attempt, index): AcquireReply | Promise<AcquireReply> => {
      const fencingToken = tokens[index] ?? 0;
      return fencingToken > 0 ? { acquired: true, fencingToken } : ask(attempt);
    });
  }

  async #freeAll(batch: readonly Release[], letGo: (held: Release) => Promise<boolean>) {
    const freed = await free(this.runtime, batch, batch[0]?.ttlMs ?? 0);
    return batch.map((held, index) => freed[index] === true || letGo(held));
  }
}
