import { Logger } from '@nestjs/common';
import type { Clock } from '@redstart/redis-core';

const quietMs = 30_000;

/** Tells the operator of a kind of trouble at once, and then at most every 30 s, with the number of times that were left out. */
export class Warnings {
  readonly #logger = new Logger('RedisCache');
  readonly #kinds = new Map<string, { quietUntil: number; left: number }>();

  constructor(private readonly clock: Clock) {}

  warn(kind: string, message: string): void {
    const now = this.clock.now();
    const known = this.#kinds.get(kind);
    if (known !== undefined && now < known.quietUntil) {
      known.left += 1;
      return;
    }
    const left = known?.left ?? 0;
    this.#kinds.set(kind, { quietUntil: now + quietMs, left: 0 });
    this.#logger.warn(left === 0 ? message : `${message} (and ${left} times before)`);
  }
}
