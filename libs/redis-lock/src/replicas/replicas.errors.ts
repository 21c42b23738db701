import type { ErrorResponse } from '@redstart/redis-core';
import { LockError } from '../lock.errors.js';
import { unavailable } from '../lock.responses.js';

/**
 * Too few replicas have confirmed the lock in time (`replicas`), so a failover could give it to somebody else. It was given back. Thrown by `acquire`,
 * `tryAcquire`, `withLock` and `@WithLock`.
 */
export class LockNotReplicatedError extends LockError {
  readonly code = 'LOCK_NOT_REPLICATED';

  constructor(
    readonly key: string,
    /** How many have to confirm it. */
    readonly needed: number,
    /** How many did. */
    readonly confirmed: number,
  ) {
    super(
      `Lock "${key}" was given back: ${confirmed} of the ${needed} replicas that it needs have confirmed it in time. Look after the replicas, lower replicas, or raise commandTimeout if they are slow.`,
    );
  }

  override get response(): ErrorResponse {
    return unavailable;
  }
}
