import { setImmediate as nextTurn } from 'node:timers/promises';
import { quote } from '../options/quote.js';
import { OptionsError } from '../redis.errors.js';
import { assertDelay, type Cancel, type Clock } from './clock.js';

interface Timer {
  readonly dueAt: number;
  readonly run: () => void;
}

/**
 * A clock that stands still until a test moves it.
 *
 * A timer waits in the list from `after` until it is cancelled or the clock has been moved to its moment. Moving the clock runs the due timers one
 * by one, in the order of their moments and, at the same moment, in the order they were set; while one runs, `now()` is its moment. Timers
 * that a timer sets take part when they fall into the same move.
 *
 * @example
 * const clock = new ManualClock();
 * clock.after(1_000, () => { reached = true; });
 * clock.advance(999); //  reached is still false
 * clock.advance(1); //    reached is true
 */
export class ManualClock implements Clock {
  readonly #timers = new Set<Timer>();
  #now: number;

  /** @param start what `now()` says at first, in milliseconds */
  constructor(start = 0) {
    this.#now = start;
  }

  now(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): Cancel {
    assertDelay(ms);
    const timer = { dueAt: this.#now + Math.max(0, ms), run };
    if (timer.dueAt < Infinity) this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
    };
  }

  /** How many timers are waiting. */
  get pending(): number {
    return this.#timers.size;
  }

  /**
   * Moves the clock and runs what falls due, synchronously. Promises that the timers settle are not followed: see {@link advanceAsync}.
   *
   * @param ms how far, 0 or more; 0 runs what is due already
   * @throws whatever a timer throws; the clock then stands at that timer's moment and the others keep waiting
   */
  advance(ms: number): void {
    const target = this.#target(ms);
    for (let timer = this.#takeDue(target); timer; timer = this.#takeDue(target)) timer.run();
    this.#now = target;
  }

  /**
   * Moves the clock and runs what falls due, letting all pending promise callbacks run before the first timer and after each one. So a loop
   * that awaits between its timers takes every step that fits. Real I/O is not waited for.
   *
   * @param ms how far, 0 or more
   */
  async advanceAsync(ms: number): Promise<void> {
    const target = this.#target(ms);
    await nextTurn();
    for (let timer = this.#takeDue(target); timer; timer = this.#takeDue(target)) {
      timer.run();
      await nextTurn();
    }
    this.#now = target;
  }

  #target(ms: number): number {
    if (!(ms >= 0 && ms < Infinity)) {
      throw new OptionsError(
        'ManualClock.advance(ms)',
        `${quote(ms)} is not a finite number of milliseconds, 0 or more.`,
      );
    }
    return this.#now + ms;
  }

  /** Takes the earliest timer that is due by `target` out of the list and moves the clock to its moment. */
  #takeDue(target: number): Timer | undefined {
    let earliest: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.dueAt <= target && (!earliest || timer.dueAt < earliest.dueAt)) earliest = timer;
    }
    if (earliest) {
      this.#timers.delete(earliest);
      this.#now = earliest.dueAt;
    }
    return earliest;
  }
}
