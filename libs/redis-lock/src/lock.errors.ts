import { RedisUnavailableError, RedstartError, type ErrorResponse } from '@redstart/redis-core';
import type { LockHolder } from './owner.js';

/** The base of everything that a lock can refuse. Redis being out of reach is a `RedisUnavailableError` instead. */
export abstract class LockError extends RedstartError {
  /** The Redis key of the lock; of several, the one that it failed at. */
  abstract readonly key: string;
}

/** What a client is told; the name of a lock is ours. */
const busy = {
  status: 503,
  title: 'Service Unavailable',
  detail: 'Somebody else is at this just now. Try again.',
  retryAfterMs: 1_000,
} as const satisfies ErrorResponse;

/** An outage of ours, which is none of the client's business. */
const unavailable = {
  status: 503,
  title: 'Service Unavailable',
  detail: 'Something that this needs is not available at the moment. Try again.',
  retryAfterMs: 1_000,
} as const satisfies ErrorResponse;

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

/**
 * Too few replicas have confirmed the lock in time (`replicas`), so a failover could give it to somebody else. It was given back. Thrown by `acquire`,
 * `tryAcquire`, `withLock` and `@WithLock`.
 */
export class LockNotReplicatedError extends LockError {
  readonly code = 'LOCK_NOT_REPLICATED';

  constructor(
    readonly key: string,
    /** How many have to confirm it. */
    readonly needed: number,
    /** How many did. */
    readonly confirmed: number,
  ) {
    super(
      `Lock "${key}" was given back: ${confirmed} of the ${needed} replicas that it needs have confirmed it in time. Look after the replicas, lower replicas, or raise commandTimeout if they are slow.`,
    );
  }

  override get response(): ErrorResponse {
    return unavailable;
  }
}

/** How a quorum was missed. */
export interface QuorumShortage {
  /** How many nodes have to agree. */
  readonly needed: number;
  /** Of how many. */
  readonly nodes: number;
  /** Enough of them agreed, but so late that too little of the lease was left. */
  readonly late?: boolean;
  /** What the others had against it, as far as it was waited for: the name of the connection, and the reason with host and port. Never a secret. */
  readonly causes: Readonly<Record<string, string>>;
}

/**
 * Too few of the `nodes` could be reached to decide anything: the outage of a lock over a quorum, as `RedisUnavailableError` is of one on a single
 * master. What a lost call may have left at some node is cleared in the background, or lapses.
 */
export class LockQuorumError extends LockError {
  readonly code = 'LOCK_QUORUM';
  readonly needed: number;
  readonly nodes: number;
  /** Connection name -> reason; see {@link QuorumShortage.causes}. */
  readonly causes: Readonly<Record<string, string>>;

  constructor(
    readonly key: string,
    { needed, nodes, late = false, causes }: QuorumShortage,
  ) {
    const reasons = Object.entries(causes).map(([node, reason]) => `${node}: ${reason}`);
    super(
      [
        `Lock "${key}": no quorum of ${needed} of ${nodes} nodes${late ? ' answered in time' : ''}.`,
        ...reasons,
        late
          ? 'Raise ttl, or look for what stalls this process.'
          : 'Look after the nodes, or raise commandTimeout if they are slow.',
      ].join(' '),
    );
    this.needed = needed;
    this.nodes = nodes;
    this.causes = Object.freeze({ ...causes });
  }

  override get response(): ErrorResponse {
    return unavailable;
  }
}

/** Whether Redis could not be asked, so that nobody knows. */
export function isOutOfReach(error: unknown): boolean {
  return error instanceof RedisUnavailableError || error instanceof LockQuorumError;
}

/**
 * A flow of calls that holds one side of a read/write lock asked for a side of the same lock that it would have to wait for: for itself. Thrown at once, by
 * what is called inside the work of `withRead` or `withWrite`.
 */
export class LockNestingError extends LockError {
  readonly code = 'LOCK_NESTING';

  constructor(
    readonly key: string,
    /** What the flow of calls holds already. */
    readonly held: 'read' | 'write',
    readonly asked: 'read' | 'write',
  ) {
    super(
      `Read/write lock "${key}" is already held for ${held} by this flow of calls, so asking for ${asked} would wait for itself. ${nestingWayOut(held, asked)}`,
    );
  }
}

function nestingWayOut(held: 'read' | 'write', asked: 'read' | 'write'): string {
  if (held === 'read') return 'End withRead first, and look again at what was read; or use withWrite from the start.';
  if (asked === 'write') return 'Do this work under the write lock that is held, and pass it on if need be.';
  return 'Read under the write lock, or call downgrade() on it when nothing is left to write.';
}

/**
 * A semaphore was asked for with another number of permits than it is in use with. Nothing was taken: with two numbers, neither would hold.
 */
export class SemaphoreLimitError extends LockError {
  readonly code = 'SEMAPHORE_LIMIT';

  constructor(
    readonly key: string,
    /** As this caller has it. */
    readonly permits: number,
    /** As those have it who use it at present. */
    readonly inUse: number,
  ) {
    super(
      `Semaphore "${key}" was asked for with ${permits} permits, but is in use with ${inUse}. All callers have to name the same number. ` +
        `To change it, end those that say ${inUse} first: once no permit is out and nobody waits, the next number is taken. Or use another key for the new number.`,
    );
  }
}

/**
 * A write was refused, because a holder with a higher fencing token has written before: the lock was lost meanwhile, whether its holder knows it or not. Nothing was
 * written. Thrown by scripts of `defineFencedScript`.
 */
export class StaleTokenError extends LockError {
  readonly code = 'STALE_TOKEN';

  constructor(
    /** The Redis key of the data. */
    readonly key: string,
    /** The token that was refused. */
    readonly token: number,
    /** The highest one that was seen. */
    readonly seen: number,
  ) {
    super(
      `"${key}" was written under the fencing token ${seen} already, so ${token} is stale: its holder lost the lock meanwhile. Nothing was written. Start again under a new lock.`,
    );
  }

  override get response(): ErrorResponse {
    return {
      status: 409,
      title: 'Conflict',
      detail: 'Somebody else was at this meanwhile. Look before you try again.',
    };
  }
}

/**
 * A call with `reentrant` asks for several locks, of which a call around it holds some, but not all, as one lock. Taking the others meanwhile could end in two holders that
 * wait for each other, and the fencing token of one lock says nothing about another. Nothing was taken.
 */
export class LockReentryError extends LockError {
  readonly code = 'LOCK_REENTRY';

  constructor(
    /** The first one that is missing. */
    readonly key: string,
    /** What the lock around it consists of. */
    readonly held: readonly string[],
  ) {
    super(
      `Lock "${key}" is not among those that the call around this one holds (${held.join(', ')}), although others of this call are. Take all of them in the outer call.`,
    );
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
