import { checkInteger, durationMs, type Duration } from '@redstart/redis-core';
import { exponential, type RetryOptions } from '@redstart/redis-streams';

/** How the writes of one defined cache are written behind. */
export interface WriteBehindOptions {
  /** How many values `writeMany` gets at most. @default 100 */
  size?: number;
  /** How long a write waits for others, which it is written with; later ones of its key take its place. @default '100ms' */
  maxWait?: Duration;
  /** How often a failing write is tried in all, and how long it waits before the next attempt. @default { attempts: 1000, backoff: exponential('1s', { max: '1m' }) } */
  retry?: RetryOptions;
  /** How long one `writeMany` may take: then its signal aborts, and it has failed. @default '30s' */
  timeout?: Duration;
  /** How many writes may be pending, about; more are refused. @default 100000 */
  maxPending?: number;
  /** How long the end of the application waits for what is pending. The rest stays in the stream. @default '10s' */
  drainTimeout?: Duration;
  /** How long one command to the cache's Redis may take. The stream has its own `publishTimeout`. @default '250ms' */
  budget?: Duration;
}

/** Complete, checked, frozen. */
export interface ResolvedWriteBehindOptions {
  readonly size: number;
  readonly maxWaitMs: number;
  readonly retry: RetryOptions;
  readonly timeoutMs: number;
  readonly maxPending: number;
  readonly drainMs: number;
  readonly budgetMs: number;
}

export const optionNames = ['size', 'maxWait', 'retry', 'timeout', 'maxPending', 'drainTimeout', 'budget'] as const;

/** @throws OptionsError */
export function resolveWriteBehindOptions(raw: WriteBehindOptions, where: string): ResolvedWriteBehindOptions {
  return Object.freeze({
    size: checkInteger(raw.size ?? 100, `${where}.size`, 1, 1_000),
    maxWaitMs: durationMs(raw.maxWait ?? '100ms', `${where}.maxWait`, { min: 0, max: 60_000 }),
    retry: { attempts: 1_000, backoff: exponential('1s', { max: '1m' }), ...raw.retry },
    timeoutMs: durationMs(raw.timeout ?? '30s', `${where}.timeout`),
    maxPending: checkInteger(raw.maxPending ?? 100_000, `${where}.maxPending`, 1, 1_000_000_000),
    drainMs: durationMs(raw.drainTimeout ?? '10s', `${where}.drainTimeout`, { min: 0 }),
    budgetMs: durationMs(raw.budget ?? '250ms', `${where}.budget`, { max: 60_000 }),
  });
}
