import { LockError } from '../lock.errors.js';

/**
 * A semaphore was asked for with another number of permits than it is in use with. Nothing was taken: with two numbers, neither would hold.
 */
export class SemaphoreLimitError extends LockError {
  readonly code = 'SEMAPHORE_LIMIT';

  constructor(
    readonly key: string,
    /** As this caller has it. */
    readonly permits: number,
    /** As those have it who use it at present. */
    readonly inUse: number,
  ) {
    super(
      `Semaphore "${key}" was asked for with ${permits} permits, but is in use with ${inUse}. All callers have to name the same number. ` +
        `To change it, end those that say ${inUse} first: once no permit is out and nobody waits, the next number is taken. Or use another key for the new number.`,
    );
  }
}
