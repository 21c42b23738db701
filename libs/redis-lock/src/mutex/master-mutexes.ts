import type { HeldLock } from '../held-lock.js';
import type { LockKeys } from '../keys.js';
import type { AcquireOutcome } from '../lease.js';
import type { LockRuntime } from '../lock-runtime.js';
import type { ResolvedLockCall } from '../lock.options.js';
import type { Mutexes } from '../mutexes.js';
import { forceRelease } from '../scripts/force-release.js';
import { inspect } from '../scripts/inspect.js';
import { acquireMutexes } from './acquire-mutexes.js';

/** Mutexes on one master, where waiters queue. */
export class MasterMutexes implements Mutexes {
  constructor(protected readonly runtime: LockRuntime) {}

  acquire(locks: readonly LockKeys[], call: ResolvedLockCall): Promise<AcquireOutcome<HeldLock>> {
    return acquireMutexes(this.runtime, locks, call);
  }

  inspect(lock: LockKeys) {
    return inspect(this.runtime, lock);
  }

  forceRelease(lock: LockKeys) {
    return forceRelease(this.runtime, lock);
  }

  close(reasonFor: (waiter: { readonly key: string }) => Error) {
    return this.runtime.waitingRoom.close(reasonFor);
  }
}
