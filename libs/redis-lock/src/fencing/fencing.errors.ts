import type { ErrorResponse } from '@redstart/redis-core';
import { LockError } from '../lock.errors.js';

/**
 * A write was refused, because a holder with a higher fencing token has written before: the lock was lost meanwhile, whether its holder knows it or not. Nothing was
 * written. Thrown by scripts of `defineFencedScript`.
 */
export class StaleTokenError extends LockError {
  readonly code = 'STALE_TOKEN';

  constructor(
    /** The Redis key of the data. */
    readonly key: string,
    /** The token that was refused. */
    readonly token: number,
    /** The highest one that was seen. */
    readonly seen: number,
  ) {
    super(
      `"${key}" was written under the fencing token ${seen} already, so ${token} is stale: its holder lost the lock meanwhile. Nothing was written. Start again under a new lock.`,
    );
  }

  override get response(): ErrorResponse {
    return {
      status: 409,
      title: 'Conflict',
      detail: 'Somebody else was at this meanwhile. Look before you try again.',
    };
  }
}
