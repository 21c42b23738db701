import { RedstartError, type ErrorResponse } from '@redstart/redis-core';
import { busy } from './lock.responses.js';
import type { LockHolder } from './owner.js';

/** The base of everything that a lock can refuse. Redis being out of reach is a `RedisUnavailableError` instead. */
export abstract class LockError extends RedstartError {
  /** The Redis key of the lock; of several, the one that it failed at. */
  abstract readonly key: string;
}

/**
 * How a lock was in the way of its own holder.
 * - `outer`: a call that this one was made under holds it, and this one is not `reentrant`.
 * - `sibling`: this call is to run under the lock of a call that it was made under, and another nested one has its turn.
 */
export type LockNesting = 'outer' | 'sibling';

/** The wait for a lock ended before it became free. Thrown by `acquire`, `withLock` and `@WithLock`; nothing of the call is left in the queue. */
export class LockTimeoutError extends LockError {
  readonly code = 'LOCK_TIMEOUT';

  constructor(
    readonly key: string,
    readonly waitedMs: number,
    /** Who held it last, unless another program had written the key. */
    readonly holder?: LockHolder,
    /** Set when the caller stood in its own way. */
    readonly nesting?: LockNesting,
  ) {
    super(`Lock "${key}" was still held by ${inTheWay(holder, nesting)} after ${waitedMs} ms. ${wayOut(nesting)}`);
  }

  override get response(): ErrorResponse {
    return busy;
  }
}

/**
 * The lock was not taken, and nobody waited for it: `held` by somebody else (`onLocked: 'throw'`), or the application is shutting down
 * (`shutdown`) and the call would have had to wait.
 */
export class LockNotAcquiredError extends LockError {
  readonly code = 'LOCK_NOT_ACQUIRED';

  constructor(
    readonly key: string,
    readonly reason: 'held' | 'shutdown',
    /** Set when the caller stood in its own way. */
    readonly nesting?: LockNesting,
  ) {
    super(
      reason === 'held'
        ? `Lock "${key}" is held by ${inTheWay(undefined, nesting)}. ${nesting === undefined ? "Use onLocked: 'wait' to wait for it, or 'skip' to leave the call out." : wayOut(nesting)}`
        : `Lock "${key}" is held by somebody else, and this application is shutting down, so it is not waited for.`,
    );
  }

  override get response(): ErrorResponse {
    return this.reason === 'held' ? { status: 409, title: 'Conflict', detail: busy.detail } : busy;
  }
}

/**
 * Why a lock is not held any more.
 * - `deadline`: its lease may have lapsed before a renewal was confirmed, by this process' own clock.
 * - `taken`: Redis says that it belongs to somebody else, or to nobody: it lapsed, was deleted or released by force, or Redis lost it.
 * - `quorum`: too few nodes confirm it (`nodes`): they say that it is not ours any more, or could not be reached until its lease may have lapsed.
 * - `released`: it was released by its own holder.
 * - `max-hold`: it was held for as long as `maxHold` allows.
 * - `shutdown`: the application ended while it was held.
 */
export type LockLossReason = 'deadline' | 'taken' | 'quorum' | 'released' | 'max-hold' | 'shutdown';

const lossText: Record<LockLossReason, string> = {
  deadline:
    'its lease was not renewed in time, so somebody else may hold it. Redis was slow, the event loop stalled, or the work outlasted the ttl; raise ttl or set autoExtend.',
  taken: 'Redis says that it is not ours any more: it lapsed, was released by force, or Redis lost it.',
  quorum:
    'too few nodes confirm it, so somebody else may hold it. They say that it is not ours any more, or could not be reached in time.',
  released: 'it was released already.',
  'max-hold': 'it was held for as long as maxHold allows. Raise maxHold, or look for what keeps the work from ending.',
  shutdown: 'the application is shutting down.',
};

/**
 * The lock is not held any more. Thrown by `assertHeld` and `extend`, by `withLock` when it happened during the work, and the reason of
 * the lock's `signal`. What was done meanwhile may have overlapped with another holder: a fencing token tells the resource.
 */
export class LockLostError extends LockError {
  readonly code = 'LOCK_LOST';

  constructor(
    readonly key: string,
    readonly reason: LockLossReason,
    options?: ErrorOptions,
  ) {
    super(`Lock "${key}" is not held any more: ${lossText[reason]}`, options);
  }

  /** Whether the work was done by then, only its author can tell. */
  override get response(): ErrorResponse {
    return {
      status: 503,
      title: 'Service Unavailable',
      detail: 'It is not certain whether this was done. Look before you try again.',
    };
  }
}

function inTheWay(holder: LockHolder | undefined, nesting: LockNesting | undefined): string {
  if (nesting === 'outer') return 'the very call that this one was made under';
  return nesting === 'sibling' ? 'another call under the same lock' : describe(holder);
}

function wayOut(nesting: LockNesting | undefined): string {
  if (nesting === 'outer')
    return 'It waited for itself: set reentrant: true on the inner call, so that it runs under the lock of the outer one.';
  if (nesting === 'sibling')
    return "Calls that are nested in one call take turns: raise waitTimeout, or don't start them together.";
  return "Raise waitTimeout, or use tryAcquire or onLocked: 'skip'.";
}

function describe(holder: LockHolder | undefined): string {
  if (holder === undefined) return 'somebody else';
  const { host, pid, label } = holder;
  return `${label === undefined ? '' : `"${label}" on `}${host} (process ${pid})`;
}
