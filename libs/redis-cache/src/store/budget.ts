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

  /** Runs a step that waits for Redis, and takes its time off. */
  async spend<T>(step: (leftMs: number) => Promise<T>): Promise<T> {
    const startedAt = this.clock.now();
    try {
      return await step(this.leftMs);
    } finally {
      this.#leftMs -= this.clock.now() - startedAt;
    }
  }
}
