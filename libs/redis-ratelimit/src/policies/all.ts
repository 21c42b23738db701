import { checkKnownKeys, OptionsError } from '@redstart/redis-core';
import { checkOnError, type OnError } from './on-error.js';
import { isLimit, type Limit } from './policy.js';

export interface AllOptions {
  /** What happens while Redis is away. @default that of the module */
  onError?: OnError;
}

/** Several limits that must all admit a call; made by {@link all}. */
export interface All {
  readonly kind: 'all';
  readonly limits: readonly Limit[];
  readonly onError: OnError | undefined;
}

/** The script looks at every limit of a call, so there is an end to it. */
const mostLimits = 10;

/**
 * All of these limits: decided in one script, every one is charged or none.
 *
 * @throws OptionsError without a limit, with more than 10, with something that is none, or with an `onError` on one of them
 * @example  all(slidingWindow({ limit: 5, window: '1m' }), slidingWindow({ limit: 30, window: '1h' }), { onError: 'closed' })
 */
export function all(...parts: readonly [Limit, ...Limit[]] | readonly [Limit, ...Limit[], AllOptions]): All {
  const last = parts.at(-1);
  const options = isLimit(last) ? {} : (last ?? {});
  checkKnownKeys(options, ['onError'], 'all');
  const limits = parts.slice(0, isLimit(last) ? undefined : -1).filter(isLimit);
  const given = parts.length - (isLimit(last) ? 0 : 1);
  if (limits.length === 0 || limits.length < given || limits.length > mostLimits) {
    throw new OptionsError(
      'all',
      `takes 1 to ${mostLimits} limits such as slidingWindow({ … }), and options at the end.`,
    );
  }
  if (limits.some(({ onError }) => onError !== undefined)) {
    throw new OptionsError(
      'all',
      'decides its limits together, so onError belongs to all(…, { onError }), not to one of them.',
    );
  }
  return Object.freeze({ kind: 'all', limits: Object.freeze(limits), onError: checkOnError(options.onError, 'all') });
}
