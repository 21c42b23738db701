import { AsyncLocalStorage } from 'node:async_hooks';
import type { HeldLock } from '../held-lock.js';
import type { LockRuntime } from '../lock-runtime.js';
import { runHolding } from '../run-holding.js';
import { HeldWriteLock } from './write-lock.js';

interface Frame {
  readonly runtime: LockRuntime;
  readonly lock: HeldLock;
  readonly owner: string;
  readonly outer: Frame | undefined;
}

/** Bound to the flow of calls, like the lock that `currentLock` tells of; but all around it, not only the innermost. */
const frames = new AsyncLocalStorage<Frame>();

export interface HeldSide {
  readonly side: 'read' | 'write';
  readonly owner: string;
}

/** Which side of a read/write lock the running flow of calls holds, by `withRead` or `withWrite`; after a downgrade it is the read side. */
export function sideHeldInFlow(runtime: LockRuntime, key: string): HeldSide | undefined {
  for (let frame = frames.getStore(); frame !== undefined; frame = frame.outer) {
    const lock = frame.lock.current;
    if (frame.runtime !== runtime || lock.key !== key || !lock.isHeld) continue;
    return { side: lock instanceof HeldWriteLock ? 'write' : 'read', owner: frame.owner };
  }
  return undefined;
}

/** Runs work under a side of a read/write lock, as {@link runHolding} does, and remembers in its flow of calls that it is held. */
export function runHoldingSide<L extends HeldLock, T>(
  runtime: LockRuntime,
  lock: L,
  owner: string,
  work: (lock: L) => Promise<T>,
): Promise<T> {
  return runHolding(lock, (held) => frames.run({ runtime, lock, owner, outer: frames.getStore() }, () => work(held)));
}
