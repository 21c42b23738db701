import type { HeldLock } from './held-lock.js';
import type { LockKeys } from './keys.js';
import type { AcquireOutcome } from './lease.js';
import type { ResolvedLockCall } from './lock.options.js';
import type { InspectReply } from './scripts/inspect.js';

/** Where the mutexes of a LockService live: on one master, or at a quorum of nodes. */
export interface Mutexes {
  /** Takes one lock, or all of several, or none. */
  acquire(locks: readonly LockKeys[], call: ResolvedLockCall): Promise<AcquireOutcome<HeldLock>>;
  /** @returns `undefined` when it is free */
  inspect(lock: LockKeys): Promise<InspectReply | undefined>;
  /** @returns whether it was held */
  forceRelease(lock: LockKeys): Promise<boolean>;
  /** Ends every wait, and every later one where it would begin; free locks can still be taken. Resolves when all who waited have left. */
  close(reasonFor: (waiter: { readonly key: string }) => Error): Promise<void>;
}
