import { parseOwner, type LockHolder } from './owner.js';
import type { InspectReply } from './scripts/inspect.js';

/** A held lock as Redis shows it to everybody. */
export interface LockState {
  /** The Redis key. */
  readonly key: string;
  /** Who holds it; `undefined` when another program has written the key. */
  readonly holder: LockHolder | undefined;
  /** When it was acquired, on the server's clock: as its fencing token tells, so about that time if that clock was ever set back. */
  readonly since: Date;
  /** How long it is held at most without a renewal; `Infinity` without a lease, which only a foreign program can cause. */
  readonly remainingMs: number;
  /** The last fencing token that was given out. */
  readonly fencingToken: number;
  /** How many wait for it; 0 with `nodes`, where nobody queues. */
  readonly waiting: number;
}

/** What Redis says of the lock at this key, in the terms of users. */
export function lockState(key: string, { owner, leaseMs, serverMs, fencingToken, waiting }: InspectReply): LockState {
  return {
    key,
    holder: parseOwner(owner),
    since: new Date(Math.min(serverMs, Math.floor(fencingToken / 1_000))),
    remainingMs: leaseMs < 0 ? Infinity : leaseMs,
    fencingToken,
    waiting,
  };
}
