import { Warnings } from '@redstart/redis-core';

/** Tells the log of trouble with a consumer; of each kind at once, and then every 30 s while it lasts. */
export class Reporter extends Warnings {
  /** @param doing what was being done; trouble at one doing with one message is told together */
  error(doing: string, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.warn(message, `${message} (while ${doing})`);
  }
}
