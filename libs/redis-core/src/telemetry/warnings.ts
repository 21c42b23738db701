import { Logger } from '@nestjs/common';
import type { Clock } from '../time/clock.js';

const quietMs = 30_000;
const maxKinds = 100;

/**
 * Tells the operator of a kind of trouble at once, and then at most every 30 s while it lasts, with the number of times that were left out. An outage must not
 * fill a disk.
 *
 * @example
 * const warnings = new Warnings('RedisCache', connection.clock);
 * warnings.warn('outage', `Going on without the cache: ${error.message}`);
 */
export class Warnings {
  readonly #logger: Logger;
  readonly #kinds = new Map<string, { quietUntil: number; left: number }>();

  /** @param context the name that Nest's logger shows */
  constructor(
    context: string,
    private readonly clock: Clock,
  ) {
    this.#logger = new Logger(context);
  }

  /** @param kind what counts as the same trouble; of more than 100 at a time some are told more often */
  warn(kind: string, message: string): void {
    const now = this.clock.now();
    const known = this.#kinds.get(kind);
    if (known !== undefined && now < known.quietUntil) {
      known.left += 1;
      return;
    }
    if (this.#kinds.size >= maxKinds && known === undefined) this.#kinds.clear();
    this.#kinds.set(kind, { quietUntil: now + quietMs, left: 0 });
    const left = known?.left ?? 0;
    this.#logger.warn(left === 0 ? message : `${message} (and ${left} times before)`);
  }
}
