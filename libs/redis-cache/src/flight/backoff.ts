import type { Clock } from '@redstart/redis-core';
import { Remembered } from './remembered.js';

/** A lease may be renewed for long, and end any time. */
const longestRestMs = 1_000;

/** What this process leaves alone for a moment, because a loader has just failed or another process loads. */
export class Backoff {
  /** What loaders have thrown, for as long as it is the answer. */
  readonly #errors: Remembered<{ readonly thrown: unknown }>;
  /** Values that are not to be refreshed in the background. */
  readonly #resting: Remembered<true>;

  constructor(clock: Clock) {
    this.#errors = new Remembered(clock);
    this.#resting = new Remembered(clock);
  }

  rests(key: string): boolean {
    return this.#resting.get(key) !== undefined;
  }

  rest(key: string, forMs: number): void {
    this.#resting.set(key, true, Math.min(forMs, longestRestMs));
  }

  failed(key: string, error: unknown, quietMs: number): void {
    this.#errors.set(key, { thrown: error }, quietMs);
  }

  /** Throws what the last loader has thrown, where this process has seen it. It is passed on as it is. */
  throwAgain(key: string): void {
    const known = this.#errors.get(key);
    if (known !== undefined) throw known.thrown as Error;
  }

  /** The value has been changed: what has been is of no matter any more. */
  forget(key: string): void {
    this.#errors.delete(key);
    this.#resting.delete(key);
  }
}
