import { eventually as tryUntil, type EventuallyOptions } from '@redstart/redis-testing';

/** As long as a busy machine may take: a message whose handling was held up comes again after five seconds only. */
const PATIENCE: EventuallyOptions = { within: 30_000 };

/** Tries until it holds, more patiently than by default. */
export function eventually<T>(assertion: () => T | Promise<T>, options: EventuallyOptions = {}): Promise<T> {
  return tryUntil(assertion, { ...PATIENCE, ...options });
}
