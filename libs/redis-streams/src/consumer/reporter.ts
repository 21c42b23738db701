import type { Logger } from '@nestjs/common';
import type { Clock } from '@redstart/redis-core';

const quietMs = 30_000;

/** Tells the log of trouble: at once, and then every 30 s while it lasts. An outage must not fill a disk. */
export class Reporter {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #last = new Map<string, { at: number; suppressed: number }>();

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
  }

  /** @param kind what was being done; trouble of one kind and one message is told together */
  error(kind: string, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.warn(`${message} (while ${kind})`, message);
  }

  /** @param kind what counts as the same trouble */
  warn(message: string, kind: string): void {
    const now = this.#clock.now();
    const last = this.#last.get(kind);
    if (last !== undefined && now - last.at < quietMs) {
      last.suppressed += 1;
      return;
    }
    if (this.#last.size > 100) this.#last.clear();
    this.#last.set(kind, { at: now, suppressed: 0 });
    this.#logger.warn(
      last?.suppressed ? `${message}; ${last.suppressed} more of these since the last report.` : message,
    );
  }
}
