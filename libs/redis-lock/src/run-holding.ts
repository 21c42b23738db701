import type { Lock } from './lock.js';
import { isOutOfReach } from './out-of-reach.js';
import { LockLostError } from './lock.errors.js';
import { currentFrame, openFrame, runIn, type Frame, type Nestable } from './reentrancy/frames.js';
import type { Holding } from './reentrancy/holding.js';

/**
 * The innermost lock that the running code was called under: by `withLock` or `@WithLock`, through any number of calls and awaits.
 *
 * @returns `undefined` outside, and once the lock is released: work that was left behind has no lock any more. A lost lock is returned, so
 *   that its `assertHeld` can tell.
 * @example  currentLock()?.assertHeld();
 */
export function currentLock(): Lock | undefined {
  const lock = currentFrame()?.lock?.current;
  return lock?.isReleased === true ? undefined : lock;
}

/**
 * Runs work under a lock and releases it, whatever happens. Always waits for the work to end: a lost lock aborts its signal and does no more. Also waits for
 * a nested call that runs under the lock and was left behind: the lock is released when nobody is under it any more.
 *
 * @param nestable what nested calls may know of this lock
 * @returns what the work returned, if the lock was held to its end. When only the release fails for an outage, that still holds, and the lease
 *   lapses by itself.
 * @throws what the work threw; it wins over everything else, except that an `AbortError` of a lost lock is told as LockLostError · LockLostError
 */
export async function runHolding<L extends Holding, T>(
  lock: L,
  work: (lock: L) => Promise<T>,
  nestable: Nestable = {},
): Promise<T> {
  const frame = openFrame(lock, nestable);
  try {
    return await runInFrame(frame, lock, work);
  } finally {
    frame.forget();
  }
}

async function runInFrame<L extends Holding, T>(frame: Frame, lock: L, work: (lock: L) => Promise<T>): Promise<T> {
  let result: T;
  try {
    result = await runIn(frame, () => work(lock));
  } catch (error) {
    await frame.end();
    const held = await lock.latest();
    const { loss } = held;
    await releaseQuietly(held);
    if (loss !== undefined && isAbort(error)) throw new LockLostError(loss.key, loss.reason, { cause: error });
    throw error;
  }
  const leftBehind = frame.end();
  if (leftBehind !== undefined) await leftBehind;
  const held = await lock.latest();
  const { loss } = held;
  const released = await releaseQuietly(held);
  if (loss !== undefined) throw loss;
  if (released === false) throw new LockLostError(lock.key, 'taken');
  return result;
}

/** @returns `undefined` when Redis could not be asked */
async function releaseQuietly(lock: Holding): Promise<boolean | undefined> {
  try {
    return await lock.release();
  } catch (error) {
    if (isOutOfReach(error)) return undefined; // Published on `redstart:operation` already.
    throw error;
  }
}

/** What work that heeds a signal throws. */
export function isAbort(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'name' in error && error.name === 'AbortError';
}
