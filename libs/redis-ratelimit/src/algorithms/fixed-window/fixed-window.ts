import { checkInteger, checkKnownKeys, checkOneOf, durationMs, type Duration } from '@redstart/redis-core';
import { policyOptionNames, resolvePolicyOptions, type PolicyOptions } from '../../policies/policy-options.js';
import type { LimitShape } from '../algorithm.js';

export interface FixedWindowOptions extends PolicyOptions {
  /** How much may be taken in one window: 1 to 1,000,000,000. */
  limit: number;
  /** How long the window is, up to a year. */
  window: Duration;
  /**
   * When a window starts: with the first call after the last one has ended, or by the calendar in UTC: `'1h'` at the full hour, `'1d'` at midnight, `'7d'` on
   * Monday, any other at a multiple of its length since then.
   * @default 'first-call'
   */
  start?: 'first-call' | 'calendar';
}

/** A limit over fixed windows; made by {@link fixedWindow}. */
export interface FixedWindow extends LimitShape {
  readonly kind: 'fixed-window';
  readonly windowUs: number;
  /** Where a window of the calendar starts, in microseconds since 1970; `undefined` when the first call starts it. */
  readonly originUs: number | undefined;
}

const dayMs = 86_400_000;
/** 1970 began on a Thursday. */
const firstMondayUs = 4 * dayMs * 1_000;

/**
 * At most `limit` in each window. The simplest and the coarsest: around the end of a window up to `2 * limit` may pass within a moment. For quotas that a
 * customer reads by the calendar; for protection use {@link slidingWindow}.
 *
 * @throws OptionsError for a limit that is no positive integer, a window that is no duration, or an unknown option
 * @example  fixedWindow({ limit: 10_000, window: '1d', start: 'calendar' })
 */
export function fixedWindow(options: FixedWindowOptions): FixedWindow {
  const where = 'fixedWindow';
  checkKnownKeys(options, ['limit', 'window', 'start', ...policyOptionNames], where);
  const windowMs = durationMs(options.window, `${where}.window`);
  const start = checkOneOf(options.start ?? 'first-call', `${where}.start`, ['first-call', 'calendar']);
  const weekly = windowMs % (7 * dayMs) === 0;
  return Object.freeze({
    kind: 'fixed-window',
    limit: checkInteger(options.limit, `${where}.limit`, 1, 1_000_000_000),
    windowMs,
    windowUs: windowMs * 1_000,
    originUs: start === 'first-call' ? undefined : weekly ? firstMondayUs : 0,
    policy: resolvePolicyOptions(options, where),
  });
}
