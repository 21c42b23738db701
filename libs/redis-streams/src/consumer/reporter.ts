import { describeError, Warnings } from '@redstart/redis-core';

/** Tells the log of trouble with a consumer; of each kind at once, and then every 30 s while it lasts. */
export class Reporter extends Warnings {
  /**
   * @param doing what was being done
   * @param kind what is told together; by default errors with one message. To be given where messages tell of single entries: there may be one for each
   */
  error(doing: string, error: unknown, kind?: string): void {
    const { message } = describeError(error);
    this.warn(kind ?? message, `${message} (while ${doing})`);
  }
}
