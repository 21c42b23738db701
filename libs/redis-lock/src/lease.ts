import type { LockLossReason } from './lock.errors.js';
import type { Asker } from './mutex/tick-batch.js';
import type { LockHolder } from './owner.js';

/**
 * What one owner has taken in Redis for a time: a mutex, a side of a read/write lock, permits of a semaphore, a quorum of nodes. A {@link HeldLock}
 * watches over it, whichever it is.
 */
export interface Lease {
  /** The Redis key of what is taken, for errors and the renewer. */
  readonly key: string;
  /**
   * Gives it `ttlMs` from now. Never adds to what is left, and never takes anew what is gone.
   *
   * @returns whether it was still the owner's
   * @throws RedisUnavailableError when Redis can't tell
   */
  extend(ttlMs: number): Promise<boolean>;
  /**
   * Lets go of it, in favour of whoever waits.
   *
   * @param keepMs stays taken for so long, without its owner; 0 lets go at once
   * @returns whether it was still the owner's
   * @throws RedisUnavailableError when Redis can't tell
   */
  release(keepMs: number): Promise<boolean>;
  /** Why it is lost, if it is, where the lease knows better than Redis' answer and the clock tell. */
  readonly lossReason?: LockLossReason | undefined;
  /** Leaves no trace of the owner: it neither has it any longer, nor waits for it. */
  giveUp(): Promise<unknown>;
}

/** A lease that is yet to be taken, and may have to be waited for. */
export interface Contender extends Lease {
  /** Who wants it, as it stands in Redis: see `owner.ts`. */
  readonly owner: string;
  /** Where a hand-over to this owner is announced. */
  readonly channel: string;
  /**
   * One attempt. May be repeated as often as one likes: whoever has it already gets the same answer and a full lease again, whoever waits
   * already keeps its place.
   *
   * @param queue take or keep a place in the queue when it is taken
   * @param asker may be stopped as long as the attempt has not been sent
   */
  acquire(queue: boolean, asker: Asker): Promise<AcquireReply>;
}

export type AcquireReply =
  | { readonly acquired: true; readonly fencingToken: number }
  | {
      readonly acquired: false;
      /** How long the lease in the way still runs; negative when it has none, which only a foreign program can cause. */
      readonly leaseMs: number;
      /** When the server answered, on its own clock. */
      readonly serverMs: number;
      /** The owner of the lease in the way. */
      readonly holder: string;
      /** The caller is the next in the queue. */
      readonly next: boolean;
    };

/** The lock, or the key it failed at and who holds that. */
export type AcquireOutcome<L> =
  { readonly lock: L } | { readonly lock: undefined; readonly key: string; readonly holder: LockHolder | undefined };
