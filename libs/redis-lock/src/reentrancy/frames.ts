import { AsyncLocalStorage } from 'node:async_hooks';
import type { Clock } from '@redstart/redis-core';
import type { Holding } from './holding.js';
import { Turnstile } from './turnstile.js';

/** Whose locks a call can be nested in: those of one LockService. */
export interface NestingHost {
  readonly clock: Clock;
}

/** What a nested call needs to run under a lock that is held already. */
export interface Reentry {
  readonly host: NestingHost;
  /** The lock in Redis. */
  readonly root: Holding;
}

/** What a nested call has to know of the read/write lock that it was made under. */
export interface SideAround {
  readonly host: NestingHost;
  /** Who holds it, as it stands in Redis. */
  readonly owner: string;
  /** Whether this is the write side, and not what it was downgraded to. */
  readonly isWriter: (lock: Holding) => boolean;
}

/** What a frame tells nested calls of its lock. One that is neither can't be nested in, and is in nobody's way. */
export interface Nestable {
  readonly reentry?: Reentry;
  readonly side?: SideAround;
}

/**
 * One call that runs work under a lock. Whatever the work calls, and whatever it leaves behind, sees it as its own.
 *
 * - *open*: from the start.
 * - *ended*: when its work has ended. Nothing new runs under it, and who waits for a turn goes on without it; a nested call under way is waited for.
 */
export class Frame {
  #lock: Holding | undefined;
  #nestable: Nestable;
  #ended = false;
  /** Most frames never have a nested call. */
  #turnstile: Turnstile | undefined;

  constructor(
    lock: Holding,
    nestable: Nestable,
    /** The next one around it, whether it has ended or not. */
    public outer: Frame | undefined,
  ) {
    this.#lock = lock;
    this.#nestable = nestable;
  }

  /** `undefined` when it is over. */
  get lock(): Holding | undefined {
    return this.#lock;
  }

  /** `undefined` for locks that can't be reentered, and when it is over. */
  get reentry(): Reentry | undefined {
    return this.#nestable.reentry;
  }

  /** `undefined` for all but read/write locks, and when it is over. */
  get side(): SideAround | undefined {
    return this.#nestable.side;
  }

  /** The next one around it that has not ended. Leaves out the others for good. */
  get around(): Frame | undefined {
    while (this.outer?.ended === true) this.outer = this.outer.outer;
    return this.outer;
  }

  get ended(): boolean {
    return this.#ended;
  }

  turnstileOf({ host }: Reentry): Turnstile {
    this.#turnstile ??= new Turnstile(host.clock);
    return this.#turnstile;
  }

  /** @returns when there is something to wait for */
  end(): Promise<void> | undefined {
    this.#ended = true;
    return this.#turnstile?.close();
  }

  /**
   * The lock is released: what work has left behind keeps the frame, and must not keep the lock. The lock keeps the flow of calls that it was taken in, so of calls
   * that each start the next one all would be kept in memory for ever.
   */
  forget(): void {
    this.#lock = undefined;
    this.#nestable = {};
  }
}

export type ReentrantFrame = Frame & { readonly lock: Holding; readonly reentry: Reentry };

/** Bound to the flow of calls, not to an application: each flow sees only the locks that it runs under. */
const frames = new AsyncLocalStorage<Frame>();

/** The innermost frame that the running code was called in, even if that has ended. */
export function currentFrame(): Frame | undefined {
  return frames.getStore();
}

export function openFrame(lock: Holding, nestable: Nestable): Frame {
  const current = frames.getStore();
  // Ended ones are left out all the way up: of calls that each start the next one and then end, all would be kept in memory for ever.
  let frame = current;
  while (frame !== undefined) frame = frame.around;
  return new Frame(lock, nestable, current?.ended === true ? current.around : current);
}

export function runIn<T>(frame: Frame, work: () => T): T {
  return frames.run(frame, work);
}

/** The frames that the running code was called in, from the innermost outwards; the first of them may have ended. */
export function* framesAround(): Generator<Frame> {
  for (let frame = frames.getStore(); frame !== undefined; frame = frame.around) yield frame;
}

/** The innermost frame of this service whose lock has any of these keys and can still be relied on, or was lost meanwhile. */
export function frameAround(host: NestingHost, keys: readonly string[]): ReentrantFrame | undefined {
  for (const frame of framesAround()) {
    if (isOpenFor(host, frame) && hasAny(frame, keys)) return frame;
  }
  return undefined;
}

function hasAny({ reentry }: ReentrantFrame, keys: readonly string[]): boolean {
  return keys.some((key) => reentry.root.keys.includes(key));
}

function isOpenFor(host: NestingHost, frame: Frame): frame is ReentrantFrame {
  const { reentry, lock } = frame;
  if (lock === undefined || reentry?.host !== host) return false;
  return !frame.ended && !lock.isReleased && !reentry.root.isReleased;
}
