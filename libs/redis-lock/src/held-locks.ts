import type { Cancel, Clock } from '@redstart/redis-core';
import { Gathering, type Member } from './gathering.js';

/** What is held until a moment that may move. */
export interface Expiring extends Member {
  /** On the runtime's clock. */
  readonly validUntil: number;
  /** That moment has come. */
  expire(): void;
}

/**
 * All locks that a service holds, with one timer for the ends of all of them: a lock is held for a fraction of its ttl as a rule, and a timer of its own would cost
 * more than the rest of its watch.
 *
 * - *idle*: nothing is held, no timer.
 * - *watching*: the timer stands at the earliest end, or before it where the lock in question was extended or released meanwhile. Then nothing ends there, and it
 *   moves on to the earliest end of those that are left.
 */
export class HeldLocks<L extends Expiring> implements Iterable<L> {
  readonly #locks = new Gathering<L>();
  #timer: Cancel | undefined;
  #standsAt = Infinity;

  constructor(private readonly clock: Clock) {}

  [Symbol.iterator](): Iterator<L> {
    return this.#locks[Symbol.iterator]();
  }

  /** From now on until {@link delete}; also when its end has moved. */
  watch(lock: L): void {
    this.#locks.add(lock);
    if (lock.validUntil < this.#standsAt) this.#setTimer(lock.validUntil);
  }

  delete(lock: L): void {
    this.#locks.delete(lock);
    if (this.#locks.size === 0) this.#setTimer(Infinity);
  }

  #setTimer(at: number): void {
    if (at === this.#standsAt) return;
    this.#timer?.();
    this.#standsAt = at;
    this.#timer =
      at === Infinity ? undefined : this.clock.after(at - this.clock.now(), this.#endWhatIsOver, { unref: true });
  }

  readonly #endWhatIsOver = (): void => {
    this.#standsAt = Infinity;
    const now = this.clock.now();
    let earliest = Infinity;
    for (const lock of this.#locks) {
      if (lock.validUntil <= now) lock.expire();
      else earliest = Math.min(earliest, lock.validUntil);
    }
    if (earliest < this.#standsAt) this.#setTimer(earliest);
  };
}
