import { checkInteger, checkKnownKeys, durationMs, type Duration } from '@redstart/redis-core';
import { policyOptionNames, resolvePolicyOptions, type PolicyOptions } from '../../policies/policy-options.js';
import type { LimitShape } from '../algorithm.js';

export interface ConcurrencyOptions extends PolicyOptions {
  /** How many calls may be under way at once: 1 to 1,000,000. */
  limit: number;
  /**
   * How long a slot lives when its holder has died. A living holder renews it three times in that time. 100 ms to a day.
   * @default '30s'
   */
  lease?: Duration;
}

/** A limit of calls under way; made by {@link concurrency}. */
export interface Concurrency extends LimitShape {
  readonly kind: 'concurrency';
  readonly leaseMs: number;
}

/**
 * At most `limit` calls under way at once, over all processes. Each holds a slot until it ends; the slot of a process that has died comes back when
 * its lease lapses.
 *
 * @throws OptionsError for a limit that is no positive integer, a lease that is no duration, or an unknown option
 * @example  concurrency({ limit: 2, lease: '30s' })
 */
export function concurrency(options: ConcurrencyOptions): Concurrency {
  const where = 'concurrency';
  checkKnownKeys(options, ['limit', 'lease', ...policyOptionNames], where);
  const leaseMs = durationMs(options.lease ?? '30s', `${where}.lease`, { min: 100, max: 86_400_000 });
  return Object.freeze({
    kind: 'concurrency',
    limit: checkInteger(options.limit, `${where}.limit`, 1, 1_000_000),
    windowMs: leaseMs,
    leaseMs,
    policy: resolvePolicyOptions(options, where),
  });
}
