import { checkInteger, checkKnownKeys, durationMs, type Duration } from '@redstart/redis-core';
import { policyOptionNames, resolvePolicyOptions, type PolicyOptions } from '../../policies/policy-options.js';
import type { LimitShape } from '../algorithm.js';

export interface SlidingWindowOptions extends PolicyOptions {
  /** How much may be taken in any window, in units of cost: 1 to 1,000,000,000. */
  limit: number;
  /** How long the window is, up to a year. */
  window: Duration;
  /**
   * Into how many parts the window is cut. A charge comes back at most one part late, and each part is one small field in Redis. 1 to 120.
   * @default 10
   */
  buckets?: number;
}

/** A limit over a sliding window; made by {@link slidingWindow}. */
export interface SlidingWindow extends LimitShape {
  readonly kind: 'sliding-window';
  readonly bucketUs: number;
  readonly buckets: number;
}

/** More buckets would push the hash out of Redis' compact encoding. */
const mostBuckets = 120;

/**
 * At most `limit` in any window of that length, wherever it starts: never 2 x limit around a boundary.
 *
 * @throws OptionsError for a limit that is no positive integer, a window that is no duration, or an unknown option
 * @example  slidingWindow({ limit: 100, window: '1m' })
 */
export function slidingWindow(options: SlidingWindowOptions): SlidingWindow {
  const where = 'slidingWindow';
  checkKnownKeys(options, ['limit', 'window', 'buckets', ...policyOptionNames], where);
  const windowMs = durationMs(options.window, `${where}.window`);
  const parts = checkInteger(options.buckets ?? 10, `${where}.buckets`, 1, mostBuckets);
  const windowUs = windowMs * 1_000;
  const bucketUs = Math.ceil(windowUs / parts);
  return Object.freeze({
    kind: 'sliding-window',
    limit: checkInteger(options.limit, `${where}.limit`, 1, 1_000_000_000),
    windowMs,
    bucketUs,
    // Fewer when whole microseconds make the buckets longer: 1 ms in 120 parts are 112 of 9 us.
    buckets: Math.ceil(windowUs / bucketUs),
    policy: resolvePolicyOptions(options, where),
  });
}
