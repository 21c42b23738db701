import { InvalidKeyError } from '@redstart/redis-core';
import type { HeldLock } from './held-lock.js';
import { listKeys, type LockKey, type LockKeys } from './keys.js';
import type { AcquireOutcome } from './lease.js';
import type { LockNesting } from './lock.errors.js';
import type { ResolvedHoldingCall, ResolvedLockCall } from './lock.options.js';
import type { LockRuntime } from './lock-runtime.js';
import { MasterMutexes } from './mutex/master-mutexes.js';
import type { Mutexes } from './mutexes.js';
import { QuorumMutexes } from './quorum/quorum-mutexes.js';
import { asHolding, enterOrTake, type HoldOutcome } from './reentrancy/enter-or-take.js';
import { ReplicatedMutexes } from './replicas/replicated-mutexes.js';

/** What became of a call that may not have run its work. */
export type TryOutcome<T> =
  | { readonly ran: true; readonly result: T }
  | {
      readonly ran: false;
      /** The Redis key that was held. */
      readonly key: string;
      /** Set when the caller stood in its own way. */
      readonly nesting: LockNesting | undefined;
    };

/** Where the mutexes of this service live, as its options say. */
export function mutexesOf(runtime: LockRuntime): Mutexes {
  if (runtime.nodes.length > 1) return new QuorumMutexes(runtime);
  return runtime.options.replicas > 0 ? new ReplicatedMutexes(runtime) : new MasterMutexes(runtime);
}

/** From the key and the options of a call to its locks. */
export class LockCalls {
  constructor(
    private readonly runtime: LockRuntime,
    private readonly mutexes: Mutexes,
  ) {}

  /** Takes the lock, or all of several, whoever's they are. */
  take(key: LockKey, call: ResolvedLockCall): Promise<AcquireOutcome<HeldLock>> {
    return this.mutexes.acquire(this.#locksOf(key), call);
  }

  /** The same for work to run under: with `reentrant` under the locks of a call around this one. */
  async hold(key: LockKey, call: ResolvedHoldingCall): Promise<HoldOutcome> {
    const { runtime, mutexes } = this;
    const locks = this.#locksOf(key);
    const keys = locks.map(({ holder }) => holder);
    if (call.reentrant) return enterOrTake(runtime, keys, call, (left) => mutexes.acquire(locks, left));
    return asHolding(runtime, keys, await mutexes.acquire(locks, call));
  }

  #locksOf(key: LockKey): readonly LockKeys[] {
    const locks = listKeys(key).map((single) => this.runtime.keysOf(single));
    if (locks.length === 0) throw new InvalidKeyError('A lock needs at least one key.');
    return locks;
  }
}
