import { checkInteger, checkKnownKeys, durationMs, OptionsError, type Duration } from '@redstart/redis-core';

/** Waits that grow. Made by {@link exponential}. */
export interface ExponentialBackoff {
  readonly kind: 'exponential';
  readonly firstMs: number;
  readonly maxMs: number;
}

/** How long a failed message waits at most: always as long, or longer each time. */
export type Backoff = Duration | ExponentialBackoff;

export interface RetryOptions {
  /** How often a failing message is tried in all. */
  readonly attempts?: number;
  /** How long it waits before the next attempt. Of {@link exponential} the wait is random between 0 and its limit (full jitter), a duration is kept as it is. */
  readonly backoff?: Backoff;
}

/** Complete, checked, frozen. */
export interface RetryPolicy {
  readonly attempts: number;
  /** @param failures how often the message has failed, 1 or more @returns milliseconds until the next attempt */
  readonly delayMs: (failures: number) => number;
}

/**
 * A limit that doubles with each failure, from `first` up to `max`; the wait itself is random between 0 and the limit, so that messages that failed together do
 * not come back together.
 *
 * @throws OptionsError for a `first` that is no duration of at least 1 ms, or a `max` below it
 * @example  retry: { attempts: 8, backoff: exponential('1s', { max: '5m' }) }
 * @see      "full jitter": https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
export function exponential(first: Duration, { max = '5m' }: { max?: Duration } = {}): ExponentialBackoff {
  const firstMs = durationMs(first, 'exponential(first)');
  return Object.freeze({
    kind: 'exponential',
    firstMs,
    maxMs: durationMs(max, 'exponential(first, { max })', { min: firstMs }),
  });
}

/**
 * @param where the option's name, for messages
 * @param defaults for what is not given
 * @throws OptionsError
 */
export function resolveRetry(raw: RetryOptions, where: string, defaults: RetryPolicy = builtIn): RetryPolicy {
  checkKnownKeys(raw, ['attempts', 'backoff'], where);
  const { attempts, backoff } = raw;
  return Object.freeze({
    attempts: attempts === undefined ? defaults.attempts : checkInteger(attempts, `${where}.attempts`, 1, 10_000),
    delayMs: backoff === undefined ? defaults.delayMs : resolveBackoff(backoff, `${where}.backoff`),
  });
}

function resolveBackoff(backoff: Backoff, where: string): RetryPolicy['delayMs'] {
  if (typeof backoff !== 'object') {
    const ms = durationMs(backoff, where, { min: 0 });
    return () => ms;
  }
  const { kind, firstMs, maxMs } = backoff;
  if ((kind as unknown) !== 'exponential') {
    throw new OptionsError(where, "expected a duration or exponential('1s', { max: '5m' }).");
  }
  return (failures) => Math.floor(Math.random() * Math.min(maxMs, firstMs * 2 ** Math.min(failures - 1, 50)));
}

/** What holds where nobody says otherwise. */
const builtIn: RetryPolicy = Object.freeze({
  attempts: 5,
  delayMs: resolveBackoff(exponential('1s', { max: '5m' }), 'backoff'),
});
