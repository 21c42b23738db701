import { HeldLock } from './held-lock.js';
import type { LockKeys } from './keys.js';
import { leaseEnd } from './lease-time.js';
import { LockLostError } from './lock.errors.js';
import type { LockRuntime } from './lock-runtime.js';
import type { ResolvedLockCall } from './lock.options.js';
import { newToken, type LockHolder } from './owner.js';
import { acquire } from './scripts/acquire.js';
import { Acquisition } from './waiting/acquisition.js';

/** The lock, or the key it failed at and who holds that. */
export type AcquireOutcome =
  | { readonly lock: HeldLock }
  | { readonly lock: undefined; readonly key: string; readonly holder: LockHolder | undefined };

interface Owner {
  readonly token: string;
  readonly owner: string;
}

/** Takes one lock, or all of several, or none. Everything of one call bears one token. */
export function acquireLocks(
  runtime: LockRuntime,
  locks: readonly LockKeys[],
  call: ResolvedLockCall,
): Promise<AcquireOutcome> {
  const token = newToken();
  const owner = { token, owner: token + runtime.mailbox };
  const waitUntil = call.waitTimeoutMs === 0 ? -Infinity : runtime.clock.now() + call.waitTimeoutMs;
  const [first, ...more] = inOrder(locks);
  if (first === undefined) throw new RangeError('acquireLocks needs at least one lock.');
  return more.length === 0
    ? acquireOne(runtime, first, owner, call, waitUntil)
    : acquireAll(runtime, [first, ...more], owner, call, waitUntil);
}

/** Sorted, so that two calls never wait for each other in a circle, and each key once. */
function inOrder(locks: readonly LockKeys[]): LockKeys[] {
  const byKey = new Map(locks.map((keys) => [keys.holder, keys]));
  return [...byKey.values()].sort((a, b) => (a.holder < b.holder ? -1 : 1));
}

async function acquireOne(
  runtime: LockRuntime,
  keys: LockKeys,
  { token, owner }: Owner,
  { ttlMs, autoExtend, signal }: ResolvedLockCall,
  waitUntil: number,
): Promise<AcquireOutcome> {
  const result = await new Acquisition(runtime, keys, { owner, ttlMs, waitUntil, signal }).run();
  if (result.granted === undefined) return { lock: undefined, key: keys.holder, holder: result.holder };
  const { fencingToken, validUntil, claimed } = result.granted;
  const lock = new HeldLock(runtime, {
    parts: [keys],
    token,
    owner,
    fencingToken,
    ttlMs,
    validUntil,
    autoExtend,
  });
  if (claimed) lock.confirm();
  return { lock };
}

/**
 * One by one, because on Cluster they live on different nodes; the ones that are held already are renewed meanwhile. In the end all of them get
 * a full lease and the highest fencing token among them, so that the one token of the lock is good for every key.
 */
async function acquireAll(
  runtime: LockRuntime,
  locks: readonly LockKeys[],
  owner: Owner,
  call: ResolvedLockCall,
  waitUntil: number,
): Promise<AcquireOutcome> {
  const taken: HeldLock[] = [];
  try {
    for (const keys of locks) {
      const outcome = await acquireOne(runtime, keys, owner, { ...call, autoExtend: true }, waitUntil);
      if (outcome.lock === undefined) {
        await rollBack(taken);
        return outcome;
      }
      taken.push(outcome.lock);
    }
    const lock = await unite(runtime, locks, taken, owner, call);
    return { lock };
  } catch (error) {
    await rollBack(taken);
    throw error;
  }
}

async function unite(
  runtime: LockRuntime,
  parts: readonly LockKeys[],
  taken: readonly HeldLock[],
  { token, owner }: Owner,
  { ttlMs, autoExtend }: ResolvedLockCall,
): Promise<HeldLock> {
  const leastFence = Math.max(...taken.map((lock) => lock.fencingToken));
  const sentAt = runtime.clock.now();
  // All of them are waited for: an acquire that is still under way would undo the roll-back of its key.
  const outcomes = await Promise.allSettled(
    parts.map((keys) => acquire(runtime, keys, { owner, ttlMs, queue: false, leastFence })),
  );
  const fences = outcomes.map((outcome, index) => {
    if (outcome.status === 'rejected') throw outcome.reason;
    const reply = outcome.value;
    if (!reply.acquired) throw new LockLostError(parts[index]?.holder ?? '', 'taken');
    return reply.fencingToken;
  });
  taken.forEach((lock) => {
    lock.assertHeld();
  });
  taken.forEach((lock) => {
    lock.dismiss();
  });
  return new HeldLock(runtime, {
    parts,
    token,
    owner,
    fencingToken: Math.max(...fences),
    ttlMs,
    validUntil: leaseEnd(sentAt, ttlMs),
    autoExtend,
  });
}

/** Best effort: what can't be given back now lapses with its lease, and the reason for the roll-back matters more. */
async function rollBack(taken: readonly HeldLock[]): Promise<void> {
  await Promise.allSettled(taken.map((lock) => lock.release()));
}
