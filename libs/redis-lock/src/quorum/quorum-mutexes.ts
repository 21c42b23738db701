import { RedisUnavailableError } from '@redstart/redis-core';
import { holdLimits, newAttempt, type Attempt } from '../contend.js';
import { HeldLock } from '../held-lock.js';
import type { LockKeys } from '../keys.js';
import type { AcquireOutcome } from '../lease.js';
import type { LockRuntime } from '../lock-runtime.js';
import type { ResolvedLockCall } from '../lock.options.js';
import { inOrder } from '../mutex/acquire-mutexes.js';
import type { Mutexes } from '../mutexes.js';
import { ownerOfRound, parseOwner } from '../owner.js';
import { forceRelease } from '../scripts/force-release.js';
import { inspect, type InspectReply } from '../scripts/inspect.js';
import { Waiter } from '../waiting/waiter.js';
import { fullJitter } from './full-jitter.js';
import { mayPass, NodeRefusals } from './node-refusals.js';
import { quorumError } from './causes.js';
import { QuorumLease, type Round } from './quorum-lease.js';
import { poll, quorumOf } from './votes.js';

type Lost = Extract<Round, { won: false }>;

/**
 * Mutexes at a quorum of independent nodes. Nobody queues: whoever finds a lock held tries again, in rounds, until it is his or his time is over.
 *
 * Each round has an owner of its own, so that the clearing up after one, however late it arrives, never takes away what a later one has won.
 */
export class QuorumMutexes implements Mutexes {
  /** All calls on their way to a lock. */
  readonly #callers = new Set<Waiter>();
  readonly #refusals: NodeRefusals;
  #refusal: ((waiter: { readonly key: string }) => Error) | undefined;
  #onLeave: (() => void) | undefined;

  constructor(private readonly runtime: LockRuntime) {
    this.#refusals = new NodeRefusals(runtime.clock);
  }

  async acquire(locks: readonly LockKeys[], call: ResolvedLockCall): Promise<AcquireOutcome<HeldLock>> {
    const sorted = inOrder(locks);
    const attempt = newAttempt(this.runtime, call, 'quorum');
    const caller = new Waiter({ owner: attempt.owner, key: sorted[0]?.holder ?? '', channel: '' }, this.runtime.clock);
    const { signal } = call;
    const onAbort = () => {
      caller.stop(signal?.reason);
    };
    this.#callers.add(caller);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      signal?.throwIfAborted();
      const outcome = await this.#inRounds(sorted, attempt, call, caller);
      if (outcome.lock === undefined) attempt.story.inVain();
      return outcome;
    } catch (error) {
      attempt.story.failed(error);
      throw error;
    } finally {
      signal?.removeEventListener('abort', onAbort);
      this.#callers.delete(caller);
      this.#onLeave?.();
    }
  }

  /** What a quorum of nodes agrees on. The lock lapses when so many leases have ended that the rest is no quorum. */
  async inspect(lock: LockKeys): Promise<InspectReply | undefined> {
    const states = await this.#ask(lock, (node) => inspect(node, lock));
    const found = states.filter((state) => state !== undefined);
    const quorum = quorumOf(this.runtime.nodes.length);
    const owner = found.map((state) => state.owner).find((candidate) => count(found, candidate) >= quorum);
    const theirs = found.filter((state) => state.owner === owner).sort((a, b) => b.leaseMs - a.leaseMs);
    const last = theirs[quorum - 1];
    return last && { ...last, fencingToken: Math.max(...theirs.map(({ fencingToken }) => fencingToken)), waiting: 0 };
  }

  /** At every node that can be reached. Told later, one of the others might take it away from the next holder: what it has lapses by itself. */
  async forceRelease(lock: LockKeys): Promise<boolean> {
    const { nodes } = this.runtime;
    const states = await this.#ask(lock, (node) => forceRelease(node, lock));
    return states.filter((wasHeld) => wasHeld).length >= quorumOf(nodes.length);
  }

  async close(reasonFor: (waiter: { readonly key: string }) => Error): Promise<void> {
    this.#refusal ??= reasonFor;
    for (const caller of this.#callers) caller.stop(reasonFor(caller));
    const here = [...this.#callers];
    await new Promise<void>((resolve) => {
      this.#onLeave = () => {
        if (!here.some((caller) => this.#callers.has(caller))) resolve();
      };
      this.#onLeave();
    });
  }

  /**
   * The answers of all nodes that can be reached.
   * @throws LockQuorumError when these are no quorum
   */
  async #ask<T>(lock: LockKeys, ask: (node: LockRuntime) => Promise<T>): Promise<T[]> {
    const { nodes } = this.runtime;
    const answers: T[] = [];
    const votes = nodes.map((node) => ({
      node: node.connection.name,
      cast: ask(node).then((answer) => answers.push(answer) > 0),
    }));
    const asked = await poll(votes);
    if (asked.verdict === 'impossible') throw quorumError(lock.holder, asked, nodes.length);
    await Promise.allSettled(votes.map(({ cast }) => cast));
    return answers;
  }

  async #inRounds(
    locks: readonly LockKeys[],
    attempt: Attempt,
    call: ResolvedLockCall,
    caller: Waiter,
  ): Promise<AcquireOutcome<HeldLock>> {
    let fence = 0;
    let silentRounds = 0;
    for (let round = 1; ; round++) {
      const owner = ownerOfRound(attempt.token, this.runtime.mailbox, call.label, round);
      const lease = new QuorumLease(this.runtime, locks, owner, this.#refusals);
      const taken = await lease.take(call.ttlMs, fence);
      if (taken.won) return { lock: this.#hold(lease, locks, attempt, call, taken) };
      void lease.giveUp();
      if (taken.held !== undefined) attempt.story.contended();
      fence = taken.fence;
      const silent = taken.late || taken.poll.unreachable;
      const leftMs = attempt.waitUntil - this.runtime.clock.now();
      if (silent) {
        silentRounds += 1;
        const worthwhile =
          attempt.waitUntil > -Infinity ? !isFinal(taken, this.runtime.nodes.length) : isUncertain(taken);
        const again = silentRounds === 1 && worthwhile;
        if (!again) throw quorumError(caller.key, taken.poll, this.runtime.nodes.length, taken.late);
      } else {
        if (leftMs <= 0) return refused(taken, caller.key);
        if (this.#refusal !== undefined) throw this.#refusal(caller);
      }
      await caller.sleep(Math.min(fullJitter(round), silent ? Infinity : leftMs));
      caller.throwIfStopped();
      if (silent) continue;
      // Somebody was in the way at one node, and that decided it; but the others may be down, which their votes have told since.
      const hindsight = taken.poll.byNow();
      if (hindsight.denied) silentRounds = 0;
      if (hindsight.unreachable) silentRounds += 1;
      if (silentRounds > 1) throw quorumError(caller.key, hindsight, this.runtime.nodes.length);
    }
  }

  #hold(
    lease: QuorumLease,
    locks: readonly LockKeys[],
    { token, story }: Attempt,
    call: ResolvedLockCall,
    { fencingToken, validUntil }: Extract<Round, { won: true }>,
  ): HeldLock {
    const { ttlMs, autoExtend } = call;
    const keys = locks.map(({ holder }) => holder);
    const limits = holdLimits(this.runtime, call);
    return new HeldLock(this.runtime, {
      parts: [lease],
      keys,
      token,
      fencingToken,
      ttlMs,
      validUntil,
      autoExtend,
      story,
      ...limits,
    });
  }
}

function refused({ held }: Lost, key: string): AcquireOutcome<HeldLock> {
  return { lock: undefined, key: held?.key ?? key, holder: parseOwner(held?.holder ?? '') };
}

/** Whether any of it may have been carried out, or a broken connection may be all there was. */
function isUncertain({ late, poll: { refusals } }: Lost): boolean {
  const isUnknown = (error: unknown) => error instanceof RedisUnavailableError && error.outcome === 'unknown';
  return late || refusals.some((refusal) => refusal.failed && isUnknown(refusal.error));
}

/** Whether so many nodes refuse for good that there is no quorum without them. */
function isFinal({ poll: { refusals } }: Lost, nodes: number): boolean {
  const final = refusals.filter((refusal) => refusal.failed && !mayPass(refusal.error));
  return final.length > nodes - quorumOf(nodes);
}

function count(found: readonly InspectReply[], owner: string): number {
  return found.filter((state) => state.owner === owner).length;
}
