import { RedisUnavailableError } from '@redstart/redis-core';
import { LockQuorumError } from './quorum/quorum.errors.js';

/** Whether Redis could not be asked, so that nobody knows. */
export function isOutOfReach(error: unknown): boolean {
  return error instanceof RedisUnavailableError || error instanceof LockQuorumError;
}
