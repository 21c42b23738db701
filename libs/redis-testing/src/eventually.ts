import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { RedisTestingError } from './errors.js';

/** The condition did not hold within the time allowed. `cause` is the error of the last attempt. */
export class ConditionNotMetError extends RedisTestingError {
  constructor(withinMs: number, attempts: number, cause: unknown) {
    const last = cause instanceof Error ? cause.message : inspect(cause);
    super('CONDITION_NOT_MET', `Not met within ${withinMs} ms (${attempts} attempts). The last one: ${last}`, {
      cause,
    });
  }
}

/** The bounds of {@link eventually}. */
export interface EventuallyOptions {
  /** How long to try, in ms; an attempt that hangs ends with it. @default 15000, which also a machine keeps that stands still for a while */
  within?: number;
  /** The pause between two attempts, in ms. @default 20 */
  every?: number;
}

/**
 * Tries `assertion` until it holds: until it neither throws nor returns `false`. Resolves with what it returned.
 *
 * @throws ConditionNotMetError with the message of the last attempt
 * @example await eventually(async () => { expect(await redis.get('order:1')).toBe('paid'); }, { within: 2_000 });
 */
export async function eventually<T>(
  assertion: () => T | Promise<T>,
  { within = 15_000, every = 20 }: EventuallyOptions = {},
): Promise<T> {
  const deadline = performance.now() + within;
  let last: unknown = new Error('it did not end');
  for (let attempts = 1; ; attempts++) {
    const outcome = await beforeDeadline(attempt(assertion), deadline);
    if (outcome?.held === true) return outcome.value;
    if (outcome !== undefined) last = outcome.error;
    const left = deadline - performance.now();
    if (left <= 0) throw new ConditionNotMetError(within, attempts, last);
    await sleep(Math.min(every, left));
  }
}

type Outcome<T> = { held: true; value: T } | { held: false; error: unknown };

async function attempt<T>(assertion: () => T | Promise<T>): Promise<Outcome<T>> {
  try {
    const value = await assertion();
    return value === false ? { held: false, error: new Error('it returned false') } : { held: true, value };
  } catch (error) {
    return { held: false, error };
  }
}

/** The outcome, or undefined when the deadline comes first. */
async function beforeDeadline<T>(outcome: Promise<T>, deadline: number): Promise<T | undefined> {
  const settled = new AbortController();
  const expired = sleep(Math.max(1, deadline - performance.now()), undefined, { signal: settled.signal });
  try {
    return await Promise.race([outcome, expired.catch(() => undefined)]);
  } finally {
    settled.abort();
  }
}
