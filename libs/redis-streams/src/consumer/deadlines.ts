import type { Cancel, Clock } from '@redstart/redis-core';

/** How late a deadline may be noticed: a twentieth of the shortest, and between these. */
const shortestTickMs = 10;
const longestTickMs = 1_000;

interface Deadline {
  readonly at: number;
  readonly expire: () => void;
}

/**
 * The deadlines of all handlers that run, by one timer for all of them, and none while nothing has a deadline.
 */
export class Deadlines {
  readonly #clock: Clock;
  readonly #running = new Set<Deadline>();
  #tickMs = longestTickMs;
  #cancel: Cancel | undefined;
  #stopped = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @param expire called once, at the deadline or a little later @returns calls it off */
  watch(timeoutMs: number, expire: () => void): Cancel {
    if (this.#stopped) return () => undefined;
    const deadline = { at: this.#clock.now() + timeoutMs, expire };
    this.#running.add(deadline);
    const tickMs = Math.min(longestTickMs, Math.max(shortestTickMs, timeoutMs / 20));
    if (this.#cancel === undefined || tickMs < this.#tickMs) {
      this.#tickMs = tickMs;
      this.#arm();
    }
    return () => {
      this.#running.delete(deadline);
    };
  }

  /** For good: what is watched now never expires, and nothing is watched any more. */
  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
    this.#cancel = undefined;
    this.#running.clear();
  }

  #arm(): void {
    this.#cancel?.();
    this.#cancel = this.#clock.after(this.#tickMs, () => {
      this.#cancel = undefined;
      this.#tick();
      if (this.#running.size > 0) this.#arm();
      else this.#tickMs = longestTickMs;
    });
  }

  #tick(): void {
    const now = this.#clock.now();
    for (const deadline of this.#running) {
      if (deadline.at > now) continue;
      this.#running.delete(deadline);
      deadline.expire();
    }
  }
}
