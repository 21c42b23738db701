import { LockError } from '../lock.errors.js';

/**
 * A call with `reentrant` asks for several locks, of which a call around it holds some, but not all, as one lock. Taking the others meanwhile could end in two holders that
 * wait for each other, and the fencing token of one lock says nothing about another. Nothing was taken.
 */
export class PartialReentryError extends LockError {
  readonly code = 'PARTIAL_REENTRY';

  constructor(
    /** The first one that is missing. */
    readonly key: string,
    /** What the lock around it consists of. */
    readonly held: readonly string[],
  ) {
    super(
      `Lock "${key}" is not among those that the call around this one holds (${held.join(', ')}), although others of this call are. Take all of them in the outer call.`,
    );
  }
}
