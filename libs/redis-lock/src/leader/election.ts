import { Logger } from '@nestjs/common';
import { Warnings } from '@redstart/redis-core';
import type { HeldLock } from '../held-lock.js';
import type { LockKeys } from '../keys.js';
import type { Lock } from '../lock.js';
import { isOutOfReach } from '../out-of-reach.js';
import { LockLostError, LockNotAcquiredError } from '../lock.errors.js';
import type { LockRuntime } from '../lock-runtime.js';
import type { Mutexes } from '../mutexes.js';
import { isAbort } from '../run-holding.js';
import {
  resolveLeaderOptions,
  type LeaderOptions,
  type ResolvedLeaderOptions,
  type RevocationReason,
} from './leader.options.js';
import { firstOf } from './first-of.js';
import { Term } from './term.js';

/** A candidate for the leadership of something. See {@link LockService.leader}. */
export interface Leadership extends AsyncDisposable {
  /** The Redis key of the lock that the leader holds. */
  readonly key: string;
  /** Whether this candidate is surely the leader at this very moment, by the clock: right even after the event loop stood still. */
  readonly isLeader: boolean;
  /** The lock of the present term, with its fencing token; `undefined` while this candidate is not the leader. */
  readonly lock: Lock | undefined;
  /**
   * Stands no longer. A leader is revoked at once; when its work and `onRevoked` have ended, though not later than its lease would, the leadership is
   * handed to whoever has waited longest. Calling it again gives the same answer.
   */
  stop(): Promise<void>;
}

/** Between two attempts to stand while Redis can't be asked. */
const longestPauseMs = 2_000;
/** Before a candidate that could not lead stands again; doubled while its terms are shorter than the longest of these pauses. */
const penaltyMs = { first: 1_000, longest: 30_000 } as const;

/**
 * One candidate, until it is stopped.
 *
 * - *standing*: in the queue of the lock, without a time limit. While Redis can't be asked it tries again and again.
 * - *leading*: the lock is held and renewed, `onElected` has been called.
 * - *stepping down*: revoked, `onRevoked` has been called. What is left of a lock that was not lost covers the end of the work; then it is handed over. A
 *   candidate stands again when its work has ended, so it never has two terms at a time, and after a pause if it gave up by itself.
 * - *stopped*: by `stop`, or with the application. Work that does not heed its signal may still be running.
 */
export class Election implements Leadership {
  readonly key: string;
  readonly #runtime: LockRuntime;
  readonly #mutexes: Mutexes;
  readonly #keys: LockKeys;
  readonly #options: ResolvedLeaderOptions;
  readonly #logger = new Logger('RedisLock');
  readonly #warnings: Warnings;
  readonly #stop = new AbortController();
  /** Settles when it has been stopped and has handed over. */
  readonly ended: Promise<void>;
  #term: Term | undefined;

  constructor(runtime: LockRuntime, mutexes: Mutexes, keys: LockKeys, options: LeaderOptions) {
    this.key = keys.holder;
    this.#runtime = runtime;
    this.#mutexes = mutexes;
    this.#keys = keys;
    this.#options = resolveLeaderOptions(options, runtime.options, this.#stop.signal);
    this.#warnings = new Warnings('RedisLock', runtime.clock);
    this.ended = this.#run();
  }

  get isLeader(): boolean {
    return this.lock !== undefined;
  }

  get lock(): Lock | undefined {
    return this.#term?.isHeld === true ? this.#term : undefined;
  }

  stop(): Promise<void> {
    return this.end('stopped');
  }

  end(reason: 'stopped' | 'shutdown'): Promise<void> {
    this.#stop.abort();
    this.#term?.revoke(reason);
    return this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Never rejects: whatever goes wrong is logged, and the candidate stands again. */
  async #run(): Promise<void> {
    const { clock } = this.#runtime;
    let pauseMs: number = penaltyMs.first;
    for (;;) {
      const lock = await this.#stand();
      if (lock === undefined) return;
      const electedAt = clock.now();
      const reason = await this.#lead(lock);
      if (reason === 'shutdown') return; // Also of the connection alone, which may still be open for a moment.
      if (clock.now() - electedAt > penaltyMs.longest) pauseMs = penaltyMs.first;
      if (reason !== 'failed' && reason !== 'resigned') continue;
      await this.#pause(pauseMs);
      pauseMs = Math.min(pauseMs * 2, penaltyMs.longest);
    }
  }

  /** @returns `undefined` when it is over */
  async #stand(): Promise<HeldLock | undefined> {
    for (let pauseMs = 100; !this.#isOver(); pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
      try {
        const { lock } = await this.#mutexes.acquire([this.#keys], this.#options.call);
        if (lock !== undefined) return lock;
      } catch (error) {
        if (this.#isOver() || error instanceof LockNotAcquiredError) return undefined;
        this.#warnings.warn('standing', `Nobody can stand for "${this.key}" here, trying again: ${textOf(error)}`);
      }
      await this.#pause(pauseMs * (0.5 + Math.random() / 2));
    }
    return undefined;
  }

  async #lead(lock: HeldLock): Promise<RevocationReason> {
    if (this.#isOver() || !lock.isHeld) {
      await this.#handOver(lock);
      return lock.loss?.reason ?? 'stopped';
    }
    let [work, farewell] = [Promise.resolve(), Promise.resolve()];
    const reason = await new Promise<RevocationReason>((resolve) => {
      const term = new Term(lock, (why) => {
        farewell = this.#sayFarewell(why);
        resolve(why);
      });
      this.#term = term;
      work = this.#work(term);
    });
    const silence = Promise.all([work, farewell]);
    await firstOf(this.#runtime.clock, { promise: silence, ms: lock.remainingMs });
    await this.#handOver(lock);
    await firstOf(this.#runtime.clock, { promise: silence, signal: this.#stop.signal });
    return reason;
  }

  async #work(term: Term): Promise<void> {
    try {
      await this.#options.onElected(term);
    } catch (error) {
      if (!term.isRevoked) {
        this.#logger.error(`The leader of "${this.key}" gives up, since onElected failed: ${textOf(error)}`);
        term.revoke('failed');
      } else if (!isAbort(error) && !(error instanceof LockLostError)) {
        this.#logger.error(`onElected of "${this.key}" failed after its term: ${textOf(error)}`);
      }
    }
  }

  async #sayFarewell(reason: RevocationReason): Promise<void> {
    try {
      await this.#options.onRevoked(reason);
    } catch (error) {
      this.#logger.error(`onRevoked of "${this.key}" failed: ${textOf(error)}`);
    }
  }

  async #handOver(lock: HeldLock): Promise<void> {
    if (lock.loss !== undefined) return;
    try {
      await lock.release();
    } catch (error) {
      // Of an outage, the end of the lease takes care.
      if (!isOutOfReach(error)) this.#logger.error(`"${this.key}" was not handed over: ${textOf(error)}`);
    }
  }

  async #pause(ms: number): Promise<void> {
    await firstOf(this.#runtime.clock, { ms, signal: this.#stop.signal });
  }

  #isOver(): boolean {
    return this.#stop.signal.aborted || this.#runtime.connection.closed;
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
