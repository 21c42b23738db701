import { RedisUnavailableError, type Cancel, type Clock } from '@redstart/redis-core';
import { WaitBudget } from './budget.js';

/** Tells Redis once. @throws RedisUnavailableError · RedisCommandError */
type Send = (budget: WaitBudget) => Promise<unknown>;

/** What tells that the connection is there anew. */
export interface ReadyEvents {
  on(event: 'ready', listener: () => void): unknown;
  off(event: 'ready', listener: () => void): unknown;
}

interface Pending {
  readonly send: Send;
  /** Which attempt has failed. */
  readonly attempt: number;
}

/** The id of what makes stale what `key` is about. Not that of what deletes or invalidates it: the weaker one must not take the place of the stronger. */
export function staleId(key: string): string {
  return `${key} stale`;
}

/** More than this is not remembered: everything is invalidated instead. */
export const mostPending = 10_000;
/** So many leave at once, so that requests get through in between. */
const perRound = 100;
const firstPauseMs = 100;
const longestPauseMs = 5_000;

/**
 * Invalidations that did not reach Redis, or whose answer did not come, are told again until they have.
 *
 * - *clear*: nothing is pending. Nothing listens, and no timer runs.
 * - *pending*: what has failed is remembered by its key, so the same one counts once. What hangs on it is not read in this process meanwhile. It is told again when the connection
 *   is ready anew, and after a pause that grows from 0.1 s to 5 s. What a later call has done by itself is forgotten.
 * - *overflowing*: more than 10,000 are pending. They are forgotten, and the whole cache is to be cleared instead.
 *
 * All of them may be repeated: to invalidate once more costs a load. What is pending is lost with the process.
 */
export class Amends {
  readonly #pending = new Map<string, Pending>();
  #attempts = 0;
  #pauseMs = firstPauseMs;
  #timer: Cancel | undefined;
  #listening = false;
  #round: Promise<void> | undefined;

  /**
   * @param everything the id of what invalidates the whole cache, and how
   * @param told hears of each that has been made good
   */
  constructor(
    private readonly client: ReadyEvents,
    private readonly clock: Clock,
    private readonly budgetMs: number,
    private readonly everything: { readonly id: string; readonly send: Send },
    private readonly told: () => void,
    private readonly limit = mostPending,
  ) {}

  /** How many invalidations have not reached Redis yet. */
  get size(): number {
    return this.#pending.size;
  }

  /** Whether what hangs on this has to be taken for invalidated. */
  has(id: string): boolean {
    return this.#pending.has(id) || this.#pending.has(this.everything.id);
  }

  /** Sends, and remembers it if it fails. @throws what `send` throws */
  async attempt<T>(id: string, send: (budget: WaitBudget) => Promise<T>, budget: WaitBudget): Promise<T> {
    const attempt = (this.#attempts += 1);
    try {
      const result = await send(budget);
      this.#settle(id, attempt);
      return result;
    } catch (error) {
      if (error instanceof RedisUnavailableError) this.#add(id, send, attempt);
      throw error;
    }
  }

  /** Something newer has been stored there, by a command that was sent after all that is pending. */
  outdated(id: string): void {
    if (this.#pending.size > 0) this.#settle(id, Infinity);
  }

  /** Tells what is pending, once: for the end of the application. */
  async flush(): Promise<void> {
    await this.#runRound();
    this.#rest();
  }

  #add(id: string, send: Send, attempt: number): void {
    if (this.#pending.size >= this.limit && !this.#pending.has(id)) {
      this.#pending.clear();
      this.#pending.set(this.everything.id, { send: this.everything.send, attempt });
    } else {
      this.#pending.set(id, { send, attempt });
    }
    this.#watch();
  }

  #settle(id: string, attempt: number): void {
    const pending = this.#pending.get(id);
    // A later attempt may have failed before the answer to this one came.
    if (pending === undefined || pending.attempt > attempt) return;
    this.#pending.delete(id);
    if (this.#pending.size === 0) this.#rest();
  }

  #watch(): void {
    if (!this.#listening) {
      this.#listening = true;
      this.client.on('ready', this.#onReady);
    }
    this.#timer ??= this.clock.after(this.#pauseMs, this.#onTimer, { unref: true });
  }

  #rest(): void {
    this.#pauseMs = firstPauseMs;
    this.#timer?.();
    this.#timer = undefined;
    this.client.off('ready', this.#onReady);
    this.#listening = false;
  }

  readonly #onReady = (): void => {
    void this.#runRound();
  };

  readonly #onTimer = (): void => {
    this.#timer = undefined;
    this.#pauseMs = Math.min(2 * this.#pauseMs, longestPauseMs);
    void this.#runRound().then(() => {
      if (this.#pending.size > 0) this.#watch();
    });
  };

  #runRound(): Promise<void> {
    this.#round ??= this.#tellAll().finally(() => {
      this.#round = undefined;
    });
    return this.#round;
  }

  /** Goes on while Redis answers. */
  async #tellAll(): Promise<void> {
    for (let answered = true; answered && this.#pending.size > 0;) {
      const some = [...this.#pending].slice(0, perRound);
      const outcomes = await Promise.all(some.map(([id, pending]) => this.#tell(id, pending)));
      answered = outcomes.every((outcome) => outcome);
    }
  }

  async #tell(id: string, { send, attempt }: Pending): Promise<boolean> {
    try {
      await send(new WaitBudget(this.clock, this.budgetMs));
      this.told();
    } catch (error) {
      if (error instanceof RedisUnavailableError) return false;
      // Redis answers with an error that no repetition cures; whoever has called was told of the outage, and the log of this.
    }
    this.#settle(id, attempt);
    return true;
  }
}
