import { checkInteger, checkKnownKeys, durationMs, type Duration } from '@redstart/redis-core';
import { policyOptionNames, resolvePolicyOptions, type PolicyOptions } from '../../policies/policy-options.js';
import type { LimitShape } from '../algorithm.js';

export interface TokenBucketOptions extends PolicyOptions {
  /** How many tokens the bucket holds: 1 to 1,000,000,000. */
  capacity: number;
  /** How many tokens are put in at once, every `per`. @default capacity */
  refill?: number;
  /** How often tokens are put in, up to a year. The first time so long after the first token was taken out of a full bucket. */
  per: Duration;
}

/** A limit by a token bucket; made by {@link tokenBucket}. */
export interface TokenBucket extends LimitShape {
  readonly kind: 'token-bucket';
  readonly capacity: number;
  readonly refill: number;
  readonly perUs: number;
}

/**
 * A bucket of tokens that is refilled in portions: `refill` tokens at the end of every `per`. Where tokens should come back evenly, use {@link gcra}.
 *
 * @throws OptionsError for numbers that are none, a refill above the capacity, or an unknown option
 * @example  tokenBucket({ capacity: 100, refill: 10, per: '1s' })
 */
export function tokenBucket(options: TokenBucketOptions): TokenBucket {
  const where = 'tokenBucket';
  checkKnownKeys(options, ['capacity', 'refill', 'per', ...policyOptionNames], where);
  const capacity = checkInteger(options.capacity, `${where}.capacity`, 1, 1_000_000_000);
  const refill = checkInteger(options.refill ?? capacity, `${where}.refill`, 1, capacity);
  // A bucket that takes longer than thirty years to fill is a slip, and its times would leave the exact integers.
  const perMs = durationMs(options.per, `${where}.per`, {
    max: Math.min(yearMs, Math.floor((30 * yearMs * refill) / capacity)),
  });
  return Object.freeze({
    kind: 'token-bucket',
    limit: capacity,
    windowMs: Math.ceil(capacity / refill) * perMs,
    capacity,
    refill,
    perUs: perMs * 1_000,
    policy: resolvePolicyOptions(options, where),
  });
}

const yearMs = 365 * 86_400_000;
