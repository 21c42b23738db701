import { checkInteger, checkKnownKeys, durationMs, type Duration } from '@redstart/redis-core';
import { policyOptionNames, resolvePolicyOptions, type PolicyOptions } from '../../policies/policy-options.js';
import type { LimitShape } from '../algorithm.js';

export interface SlidingLogOptions extends PolicyOptions {
  /** How much may be taken in any window, in units of cost: 1 to 1,000. */
  limit: number;
  /** How long the window is, up to a year. */
  window: Duration;
}

/** A limit by a log of charges; made by {@link slidingLog}. */
export interface SlidingLog extends LimitShape {
  readonly kind: 'sliding-log';
  readonly windowUs: number;
}

/** Each charge is an entry in Redis: a larger log would cost more than what it protects. */
const largestLimit = 1_000;

/**
 * At most `limit` in any window of that length, and each charge comes back to the microsecond when the window has passed. Exact, at the price of an entry in
 * Redis per call: for small limits. {@link slidingWindow} promises the same bound for any limit in a few small fields.
 *
 * @throws OptionsError for a limit that is no integer from 1 to 1,000, a window that is no duration, or an unknown option
 * @example  slidingLog({ limit: 5, window: '15m' })
 */
export function slidingLog(options: SlidingLogOptions): SlidingLog {
  const where = 'slidingLog';
  checkKnownKeys(options, ['limit', 'window', ...policyOptionNames], where);
  const windowMs = durationMs(options.window, `${where}.window`);
  return Object.freeze({
    kind: 'sliding-log',
    limit: checkInteger(options.limit, `${where}.limit`, 1, largestLimit),
    windowMs,
    windowUs: windowMs * 1_000,
    policy: resolvePolicyOptions(options, where),
  });
}
