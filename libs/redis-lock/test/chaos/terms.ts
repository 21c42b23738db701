import type { RedisLockOptions } from '../../src/index.js';
import type { Terms } from './worker/orders.js';

/** Short, so that leases end within a test; long enough for a busy machine to renew in time. */
export const ttlMs = 1_000;
export const claimMs = 800;
/** How much longer than promised something may take on a busy machine. */
export const slackMs = 1_500;

export const lockOptions: RedisLockOptions = { claimTtl: claimMs, commandTimeout: 500 };

/** A lock of its own for each fault. */
export function lockTerms(fault: string, terms: Partial<Terms> = {}): Terms {
  return { key: fault, ttlMs, waitTimeoutMs: 10_000, workMs: 5, ...terms };
}
