import { hashSlot, RedisUnavailableError } from '@redstart/redis-core';
import { contend, holdLimits, newAttempt, type Attempt } from '../contend.js';
import { HeldLock } from '../held-lock.js';
import type { LockKeys } from '../keys.js';
import type { AcquireOutcome } from '../lease.js';
import { isWorthHaving, leaseEnd, tooLate } from '../lease-time.js';
import { LockLostError } from '../lock.errors.js';
import type { LockRuntime } from '../lock-runtime.js';
import type { ResolvedLockCall } from '../lock.options.js';
import { parseOwner } from '../owner.js';
import { acquireAll } from '../scripts/acquire-all.js';
import { partOf } from '../telemetry/lock-story.js';
import { Mutex } from './mutex.js';

/** A new attempt at one lock, or at several. */
export function attemptAt(runtime: LockRuntime, locks: readonly LockKeys[], call: ResolvedLockCall): Attempt {
  return newAttempt(runtime, call, inOrder(locks).length === 1 ? 'mutex' : 'multi-lock');
}

/** Takes one lock, or all of several, or none. Everything of one call bears one token. */
export function acquireMutexes(
  runtime: LockRuntime,
  locks: readonly LockKeys[],
  call: ResolvedLockCall,
  attempt: Attempt = attemptAt(runtime, locks, call),
): Promise<AcquireOutcome<HeldLock>> {
  const parts = inOrder(locks).map((keys) => new Mutex(runtime, keys, attempt.owner, call.ttlMs));
  const [first] = parts;
  if (first === undefined) throw new RangeError('acquireMutexes needs at least one lock.');
  return parts.length === 1 ? contend(runtime, first, attempt, call) : acquireSeveral(runtime, parts, attempt, call);
}

async function acquireSeveral(
  runtime: LockRuntime,
  parts: readonly Mutex[],
  attempt: Attempt,
  call: ResolvedLockCall,
): Promise<AcquireOutcome<HeldLock>> {
  try {
    const outcome = await takeAll(runtime, parts, attempt, call);
    if (outcome.lock === undefined) attempt.story.inVain();
    return outcome;
  } catch (error) {
    attempt.story.failed(error);
    throw error;
  }
}

/** Sorted, so that two calls never wait for each other in a circle, and each key once. */
export function inOrder(locks: readonly LockKeys[]): readonly LockKeys[] {
  if (locks.length === 1) return locks;
  const byKey = new Map(locks.map((keys) => [keys.holder, keys]));
  return [...byKey.values()].sort((a, b) => (a.holder < b.holder ? -1 : 1));
}

/** By one script, where their keys share a slot and all are free; else one by one. */
async function takeAll(
  runtime: LockRuntime,
  parts: readonly Mutex[],
  attempt: Attempt,
  call: ResolvedLockCall,
): Promise<AcquireOutcome<HeldLock>> {
  call.signal?.throwIfAborted();
  if (!shareSlot(runtime, parts)) return takeOneByOne(runtime, parts, attempt, call);
  try {
    const outcome = await takeAtOnce(runtime, parts, attempt, call);
    if (outcome !== undefined) return outcome;
  } catch (error) {
    if (!(error instanceof RedisUnavailableError) || error.outcome === 'not-executed') throw error;
    return takeUncertain(runtime, parts, attempt, call);
  }
  return takeOneByOne(runtime, parts, attempt, call);
}

/** The script may have been carried out. The same owner asks again, with the patience that an outage is due, and leaves nothing when it fails. */
async function takeUncertain(
  runtime: LockRuntime,
  parts: readonly Mutex[],
  attempt: Attempt,
  call: ResolvedLockCall,
): Promise<AcquireOutcome<HeldLock>> {
  let taken = false;
  try {
    const outcome = await takeOneByOne(runtime, parts, attempt, call);
    taken = outcome.lock !== undefined;
    return outcome;
  } finally {
    if (!taken) for (const part of parts) runtime.clearUp(() => part.giveUp(), call.ttlMs);
  }
}

function shareSlot({ connection }: LockRuntime, parts: readonly Mutex[]): boolean {
  return !connection.cluster || new Set(parts.map(({ key }) => hashSlot(key))).size === 1;
}

/** @returns `undefined` when somebody has to be waited for, or may have to be */
async function takeAtOnce(
  runtime: LockRuntime,
  parts: readonly Mutex[],
  attempt: Attempt,
  call: ResolvedLockCall,
): Promise<AcquireOutcome<HeldLock> | undefined> {
  const sentAt = runtime.clock.now();
  const keys = parts.map((part) => part.keys);
  const reply = await acquireAll(runtime, keys, attempt.owner, call.ttlMs);
  if (reply.acquired && !isWorthHaving(leaseEnd(sentAt, call.ttlMs) - runtime.clock.now(), call.ttlMs)) {
    throw tooLate(parts[0]?.key ?? '', call.ttlMs);
  }
  if (reply.acquired) return { lock: hold(runtime, parts, attempt, call, reply.fencingToken, sentAt) };
  if (reply.holder === undefined) return undefined;
  attempt.story.contended();
  if (attempt.waitUntil > -Infinity) return undefined;
  return { lock: undefined, key: parts[reply.at]?.key ?? '', holder: parseOwner(reply.holder) };
}

/**
 * In sorted order; the ones that are held already are renewed meanwhile. In the end all of them get a full lease and the highest fencing token
 * among them, so that the one token of the lock is good for every key.
 */
async function takeOneByOne(
  runtime: LockRuntime,
  parts: readonly Mutex[],
  attempt: Attempt,
  call: ResolvedLockCall,
): Promise<AcquireOutcome<HeldLock>> {
  const taken: HeldLock[] = [];
  const step = { ...call, autoExtend: true, minHoldMs: 0, maxHoldMs: Infinity };
  const stepAttempt = { ...attempt, story: partOf(attempt.story) };
  try {
    for (const part of parts) {
      const outcome = await contend(runtime, part, stepAttempt, step);
      if (outcome.lock === undefined) {
        await rollBack(taken);
        return outcome;
      }
      taken.push(outcome.lock);
    }
    return { lock: await unite(runtime, parts, taken, attempt, call) };
  } catch (error) {
    await rollBack(taken);
    throw error;
  }
}

async function unite(
  runtime: LockRuntime,
  parts: readonly Mutex[],
  taken: readonly HeldLock[],
  attempt: Attempt,
  call: ResolvedLockCall,
): Promise<HeldLock> {
  let fence = Math.max(...taken.map((lock) => lock.fencingToken));
  for (;;) {
    const sentAt = runtime.clock.now();
    const highest = await raiseTo(fence, parts);
    taken.forEach((lock) => {
      lock.assertHeld();
    });
    if (highest === fence) {
      taken.forEach((lock) => {
        lock.dismiss();
      });
      return hold(runtime, parts, attempt, call, fence, sentAt);
    }
    fence = highest; // One had lapsed, and was taken anew: the others don't know its token yet.
  }
}

/** @returns the highest fencing token among them now: that one, unless one of them had lapsed */
async function raiseTo(leastFence: number, parts: readonly Mutex[]): Promise<number> {
  // All of them are waited for: an acquire that is still under way would undo the roll-back of its key.
  const outcomes = await Promise.allSettled(parts.map((part) => part.reacquire(leastFence)));
  const fences = outcomes.map((outcome, index) => {
    if (outcome.status === 'rejected') throw outcome.reason;
    const reply = outcome.value;
    if (!reply.acquired) throw new LockLostError(parts[index]?.key ?? '', 'taken');
    return reply.fencingToken;
  });
  return Math.max(...fences);
}

function hold(
  runtime: LockRuntime,
  parts: readonly Mutex[],
  { token, story }: Attempt,
  call: ResolvedLockCall,
  fencingToken: number,
  sentAt: number,
): HeldLock {
  const { ttlMs, autoExtend } = call;
  const validUntil = leaseEnd(sentAt, ttlMs);
  const limits = holdLimits(runtime, call);
  return new HeldLock(runtime, { parts, token, fencingToken, ttlMs, validUntil, autoExtend, story, ...limits });
}

/** Best effort: what can't be given back now lapses with its lease, and the reason for the roll-back matters more. */
async function rollBack(taken: readonly HeldLock[]): Promise<void> {
  await Promise.allSettled(taken.map((lock) => lock.release()));
}
