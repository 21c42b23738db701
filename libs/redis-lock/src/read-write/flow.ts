import { AsyncLocalStorage } from 'node:async_hooks';
import type { HeldLock } from '../held-lock.js';
import type { LockRuntime } from '../lock-runtime.js';
import { runHolding } from '../run-holding.js';
import { HeldWriteLock } from './write-lock.js';

interface Frame {
  readonly runtime: LockRuntime;
  /** `undefined` when it is over: work that was left behind keeps the frame, and must not keep the lock. */
  lock: HeldLock | undefined;
  readonly owner: string;
  /** The next one around it that was not over when it was last looked for. */
  outer: Frame | undefined;
}

/** Bound to the flow of calls, like the lock that `currentLock` tells of; but all around it, not only the innermost. */
const frames = new AsyncLocalStorage<Frame>();

export interface HeldSide {
  readonly side: 'read' | 'write';
  readonly owner: string;
}

/** Which side of a read/write lock the running flow of calls holds, by `withRead` or `withWrite`; after a downgrade it is the read side. */
export function sideHeldInFlow(runtime: LockRuntime, key: string): HeldSide | undefined {
  for (let frame = around(frames.getStore()); frame !== undefined; frame = frame.outer = around(frame.outer)) {
    const lock = frame.lock?.current;
    if (frame.runtime !== runtime || lock?.key !== key || !lock.isHeld) continue;
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
  const frame: Frame = { runtime, lock, owner, outer: around(frames.getStore()) };
  return runHolding(lock, (held) => frames.run(frame, () => work(held))).finally(() => {
    frame.lock = undefined;
  });
}

/** The first from here outwards that is not over. All further ones are left out for good, or calls that each start the next one would all be kept. */
function around(from: Frame | undefined): Frame | undefined {
  let frame = from;
  while (frame !== undefined && frame.lock === undefined) frame = frame.outer;
  for (let at = frame; at !== undefined; at = at.outer) {
    while (at.outer !== undefined && at.outer.lock === undefined) at.outer = at.outer.outer;
  }
  return frame;
}
