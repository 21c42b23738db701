import type { Clock } from '@redstart/redis-core';

/** How long one call may still wait for Redis, over all its commands. The loader's own time does not count. */
export class WaitBudget {
  #leftMs: number;

  constructor(
    private readonly clock: Clock,
    budgetMs: number,
  ) {
    this.#leftMs = budgetMs;
  }

  /** Whole milliseconds; 0 when nothing may be asked any more. */
  get leftMs(): number {
    return Math.max(0, Math.ceil(this.#leftMs));
  }

  /** Begins a wait. What it returns ends the wait, and takes its time off. */
  startWait(): () => void {
    const startedAt = this.now;
    return () => {
      this.spentSince(startedAt);
    };
  }

  /** By its clock. */
  get now(): number {
    return this.clock.now();
  }

  /** Takes the time of a wait off that has begun then. */
  spentSince(startedAt: number): void {
    this.#leftMs -= this.clock.now() - startedAt;
  }

  /** Runs a step that waits for Redis, and takes its time off. */
  async spend<T>(step: (leftMs: number) => Promise<T>): Promise<T> {
    const endWait = this.startWait();
    try {
      return await step(this.leftMs);
    } finally {
      endWait();
    }
  }
}
