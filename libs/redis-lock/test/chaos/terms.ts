import { hashSlot } from '@redstart/redis-core';
import type { RedisLockOptions } from '../../src/index.js';
import { redisKey } from './redis-key.js';
import type { Terms } from './worker/orders.js';

/** For a lock that is to outlive a disturbance: two renewals of it may come late on a busy machine. */
export const sturdy = { ttlMs: 3_000 } as const satisfies Partial<Terms>;

/** Short, so that leases end within a test; so long that a renewal may come a second late. */
export const ttlMs = 1_500;
export const claimMs = 800;
/** How much longer than promised something may take on a busy machine. */
export const slackMs = 1_500;

export const lockOptions: RedisLockOptions = { claimTtl: claimMs, commandTimeout: 1_000 };

/**
 * At a quorum no command may take longer than a quarter of the lease. Nobody queues there, so whoever has just left would be the first to come again; for the pause, another one is.
 */
export const quorumTerms = { ...sturdy, pauseMs: 60 } as const satisfies Partial<Terms>;
export const quorumOptions: RedisLockOptions = {
  commandTimeout: quorumTerms.ttlMs / 4,
  restartDelay: quorumTerms.ttlMs,
};

/** A lock of its own for each fault, and a companion. */
export function lockTerms(fault: string, terms: Partial<Terms> = {}): Terms {
  return {
    key: fault,
    companion: companionOf(fault),
    ttlMs,
    waitTimeoutMs: 10_000,
    workMs: 5,
    pauseMs: 0,
    ...terms,
  };
}

/** A lock that shares its slot on a Cluster, so that one script can take both. */
function companionOf(key: string): string {
  const slot = hashSlot(redisKey(key));
  for (let number = 1; ; number++) {
    const candidate = `${key} ${number}`;
    if (hashSlot(redisKey(candidate)) === slot) return candidate;
  }
}
