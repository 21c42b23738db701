import { RedisUnavailableError, type RedisConnection } from '@redstart/redis-core';
import { callOf } from '../deciding/call-of.js';

/** A slot in Redis that nobody in this process holds. */
interface StraySlot {
  readonly key: string;
  readonly id: string;
}

/** Beyond, the one that waits for longest is left to its lease: an outage must not fill the memory. */
const mostStrays = 10_000;
/** So many are tried at once. */
const mostAtOnce = 100;
const shortestPauseMs = 100;
const longestPauseMs = 2_000;

/**
 * Frees slots that Redis may hold for nobody: of calls whose answer did not come in time, and of holders who could not give them back. Left alone, each would keep
 * somebody out until its lease lapses, up to a day.
 *
 * - *idle*: there are none.
 * - *clearing*: each is tried right away, since what is sent behind the lost call is carried out behind it, and then again and again, with pauses of 100 ms to 2 s, until Redis has
 *   answered. What it refuses for good is given up: it would refuse it each time.
 * - When the connection closes, they are tried once more.
 */
export class StraySlots {
  readonly #connection: RedisConnection;
  readonly #budgetMs: number;
  /** In the order in which they are tried. */
  readonly #strays = new Set<StraySlot>();
  #clearing = false;

  constructor(connection: RedisConnection, budgetMs: number) {
    this.#connection = connection;
    this.#budgetMs = budgetMs;
    connection.beforeClose(async () => {
      await this.#clearAll();
    });
  }

  get size(): number {
    return this.#strays.size;
  }

  /** @param id under which a call may have taken slots at these keys */
  add(keys: readonly string[], id: string): void {
    for (const key of keys) this.#strays.add({ key, id });
    for (const oldest of this.#strays) {
      if (this.#strays.size <= mostStrays) break;
      this.#strays.delete(oldest);
    }
    if (!this.#clearing) void this.#clear();
  }

  async #clear(): Promise<void> {
    const { clock } = this.#connection;
    this.#clearing = true;
    for (let pauseMs = shortestPauseMs; !(await this.#clearAll()); pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
      await new Promise<void>((resolve) => {
        clock.after(pauseMs, resolve, { unref: true });
      });
    }
    this.#clearing = false;
  }

  /** @returns whether none is left, or nothing can be said to Redis any more */
  async #clearAll(): Promise<boolean> {
    while (this.#strays.size > 0) {
      const some = [...this.#strays].slice(0, mostAtOnce);
      const freed = await Promise.all(some.map((stray) => this.#free(stray)));
      if (!freed.includes(true)) break;
    }
    return this.#strays.size === 0 || this.#connection.closed;
  }

  async #free(stray: StraySlot): Promise<boolean> {
    this.#strays.delete(stray);
    try {
      await this.#connection.call(callOf('reclaim', this.#budgetMs), (client) => client.zrem(stray.key, stray.id));
      return true;
    } catch (error) {
      if (!(error instanceof RedisUnavailableError)) return true;
      this.#strays.add(stray); // At the end: others may live on a node that answers.
      return false;
    }
  }
}
