import { checkInteger, checkKnownKeys, durationMs, type Duration } from '@redstart/redis-core';
import { checkOnError, type OnError } from './on-error.js';

export interface SlidingWindowOptions {
  /** How much may be taken in any window, in units of cost: 1 to 1,000,000,000. */
  limit: number;
  /** How long the window is, up to a year. */
  window: Duration;
  /**
   * Into how many parts the window is cut. A charge comes back at most one part late, and each part is one small field in Redis. 1 to 120.
   * @default 10
   */
  buckets?: number;
  /** What happens while Redis is away. @default that of the module */
  onError?: OnError;
}

/** A limit over a sliding window; made by {@link slidingWindow}. */
export interface SlidingWindow {
  readonly kind: 'sliding-window';
  readonly limit: number;
  readonly windowMs: number;
  readonly buckets: number;
  readonly bucketMs: number;
  readonly onError: OnError | undefined;
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
  checkKnownKeys(options, ['limit', 'window', 'buckets', 'onError'], where);
  const limit = checkInteger(options.limit, `${where}.limit`, 1, 1_000_000_000);
  const windowMs = durationMs(options.window, `${where}.window`);
  const parts = checkInteger(options.buckets ?? 10, `${where}.buckets`, 1, mostBuckets);
  const bucketMs = Math.ceil(windowMs / parts);
  return Object.freeze({
    kind: 'sliding-window',
    limit,
    windowMs,
    bucketMs,
    // Fewer when whole milliseconds make the buckets longer: 10 ms in 9 parts are 5 of 2 ms.
    buckets: Math.ceil(windowMs / bucketMs),
    onError: checkOnError(options.onError, where),
  });
}
