import type { Clock, Warnings } from '@redstart/redis-core';
import { StreamGroupNotFoundError, type GroupStatus } from '@redstart/redis-streams';
import { WriteBehindFullError } from './write-behind.errors.js';

/** What is pending of a cache that is written behind. */
export interface WriteBehindBacklog {
  /** How many writes have not reached the store, those that wait for their next attempt included. */
  readonly pending: number;
  /** The age of the oldest one, in milliseconds; `undefined` without any. */
  readonly oldestMs: number | undefined;
  /** How many have been given up. */
  readonly deadLetters: number;
}

/** How often it is looked, at most. */
const everyMs = 1_000;
/** A write that waits for so long is told to the log. */
const slowMs = 60_000;

/**
 * Knows about how many writes are pending, and refuses more than may be.
 *
 * It looks once a second at most, while something is written; in between it counts what this process has written since. Others write as well, so the bound is exceeded by what they
 * write within a second.
 */
export class Backlog {
  #measured = 0;
  #since = 0;
  #measuredAt = -Infinity;
  #measuring: Promise<void> | undefined;

  constructor(
    private readonly name: string,
    private readonly maxPending: number,
    private readonly ask: () => Promise<GroupStatus>,
    private readonly clock: Clock,
    private readonly warnings: Warnings,
  ) {}

  /** Counts a write that is about to be made. @throws WriteBehindFullError */
  async admit(): Promise<void> {
    if (this.clock.now() - this.#measuredAt >= everyMs) {
      const measuring = this.#measure();
      // Nobody waits for it while there is room in any case.
      if (this.#count >= this.maxPending) await measuring;
    }
    if (this.#count >= this.maxPending) throw new WriteBehindFullError(this.name, this.#count, this.maxPending);
    this.#since += 1;
  }

  /** @throws RedisUnavailableError */
  async now(): Promise<WriteBehindBacklog> {
    try {
      const { lag, lagMs, pending, oldestPendingMs, retrying, deadLetters } = await this.ask();
      const ages = [lagMs, oldestPendingMs].filter((age) => age !== undefined);
      return {
        pending: lag + pending + retrying,
        oldestMs: ages.length === 0 ? undefined : Math.max(...ages),
        deadLetters,
      };
    } catch (error) {
      // No process has begun to write yet, so nobody counts.
      if (error instanceof StreamGroupNotFoundError)
        return { pending: this.#count, oldestMs: undefined, deadLetters: 0 };
      throw error;
    }
  }

  get #count(): number {
    return this.#measured + this.#since;
  }

  #measure(): Promise<void> {
    this.#measuring ??= this.#look().finally(() => {
      this.#measuring = undefined;
    });
    return this.#measuring;
  }

  async #look(): Promise<void> {
    this.#measuredAt = this.clock.now();
    const before = this.#since;
    try {
      const { pending, oldestMs = 0 } = await this.now();
      this.#measured = pending;
      this.#since -= before;
      if (pending * 2 > this.maxPending || oldestMs > slowMs) this.#tell(pending, oldestMs);
    } catch {
      // Redis is down: so is the stream, and the write will say so.
    }
  }

  #tell(pending: number, oldestMs: number): void {
    this.warnings.warn(
      'behind',
      `The store of the cache "${this.name}" is behind: ${pending} writes are pending (${this.maxPending} at most), the oldest for ${Math.round(oldestMs / 1_000)} s.`,
    );
  }
}
