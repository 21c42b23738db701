import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '@redstart/redis-core';

interface Waiter {
  readonly ready: () => boolean;
  readonly wake: () => void;
}

/** Those who wait for a condition that only `notify` can make true. */
export class Waiters {
  readonly #clock: Clock;
  #waiting: Waiter[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves when the condition holds, and at the latest when the signal aborts. */
  async when(ready: () => boolean, signal: AbortSignal): Promise<void> {
    while (!ready() && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          signal.removeEventListener('abort', wake);
          this.#waiting = this.#waiting.filter((waiter) => waiter.wake !== wake);
          resolve();
        };
        this.#waiting.push({ ready, wake });
        signal.addEventListener('abort', wake);
      });
      // What happens together is seen together: one read for all slots that became free instead of one each.
      await nextTurn();
    }
  }

  /** Resolves when the condition holds, and at the latest after so long. */
  async within(ms: number, ready: () => boolean): Promise<void> {
    const deadline = new AbortController();
    const cancel = this.#clock.after(ms, () => {
      deadline.abort();
    });
    await this.when(ready, deadline.signal);
    cancel();
  }

  notify(): void {
    if (this.#waiting.length === 0) return;
    for (const { ready, wake } of this.#waiting) {
      if (ready()) wake();
    }
  }
}
