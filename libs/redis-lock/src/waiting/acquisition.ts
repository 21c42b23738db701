import { RedisUnavailableError } from '@redstart/redis-core';
import type { Attempt } from '../contend.js';
import type { AcquireReply, Contender } from '../lease.js';
import { isWorthHaving, leaseEnd, tooLate } from '../lease-time.js';
import type { LockRuntime } from '../lock-runtime.js';
import type { ResolvedLockCall } from '../lock.options.js';
import { parseOwner, type LockHolder } from '../owner.js';
import type { HandOver, Waiter } from './waiter.js';

export interface Granted {
  readonly fencingToken: number;
  /** Until when the lock is surely ours, on the runtime's clock. */
  readonly validUntil: number;
  /** It was handed over for the short claim time only, and needs a full lease at once. */
  readonly claimed: boolean;
}

type Held = Extract<AcquireReply, { acquired: false }>;

/** The least time between two looks that nobody has asked for. */
const shortestPauseMs = 20;

/**
 * One contender on its way to what it wants.
 *
 * - *asking*: the acquire script is under way. A lost answer or an outage is followed by the same question from the same owner, until Redis has
 *   been silent for too long.
 * - *queued*: the lock is held and the owner has its place. It sleeps until the last holder's release hands the lock over, and otherwise asks again when
 *   the holder's lease runs out, after a gap in the messages, and often enough to stay alive in the queue.
 * - *granted*: by an answer, with a full lease; or by a hand-over, with the claim time.
 * - *given up*: out of time, out of reach, stopped or failed. Whatever it left in Redis is cleared, and a lock that was just given to it passed on.
 */
export class Acquisition {
  readonly #waiter: Waiter;
  /** The latest answer from the queue, and when its question was sent: ties the server's clock to ours. */
  #queued: { readonly reply: Held; readonly askedAt: number } | undefined;
  /** A question went out whose answer is not known: it may have been granted. */
  #unanswered = false;

  constructor(
    private readonly runtime: LockRuntime,
    private readonly contender: Contender,
    private readonly attempt: Pick<Attempt, 'waitUntil' | 'story'>,
    private readonly call: Pick<ResolvedLockCall, 'ttlMs' | 'signal'>,
  ) {
    this.#waiter = runtime.waitingRoom.enter(contender);
  }

  /** @returns `undefined` when it was not to be had in time */
  async run(): Promise<Granted | undefined> {
    let forgetSignal: (() => void) | undefined;
    try {
      forgetSignal = this.#heedSignal();
      this.#waiter.throwIfStopped();
      const granted = (await this.#ask()) ?? (await this.#wait());
      if (granted === undefined) this.#clearUp();
      return granted;
    } catch (error) {
      this.#clearUp();
      throw error;
    } finally {
      forgetSignal?.();
      this.runtime.waitingRoom.leave(this.#waiter);
    }
  }

  /** Who had it when Redis was asked last. */
  get holder(): LockHolder | undefined {
    return parseOwner(this.#queued?.reply.holder ?? '');
  }

  /** After an answer that did not grant it. */
  async #wait(): Promise<Granted | undefined> {
    for (;;) {
      const granted = this.#accept(this.#waiter.takeHandOver());
      if (granted !== undefined || !this.#waits) return granted;
      this.runtime.waitingRoom.listen(this.#waiter);
      await this.#waiter.sleep(Math.min(this.#nextLookMs(), this.#leftMs));
      const handedOver = this.#accept(this.#waiter.takeHandOver());
      if (handedOver !== undefined) return handedOver;
      this.#waiter.throwIfStopped();
      if (this.#leftMs <= 0) return undefined;
      const answered = await this.#ask();
      if (answered !== undefined) return answered;
    }
  }

  /** @returns what ends it */
  #heedSignal(): (() => void) | undefined {
    const { signal } = this.call;
    if (signal === undefined) return undefined;
    const onAbort = () => {
      this.#waiter.stop(signal.reason);
    };
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    return () => {
      signal.removeEventListener('abort', onAbort);
    };
  }

  get #waits(): boolean {
    return this.attempt.waitUntil > -Infinity;
  }

  get #leftMs(): number {
    return this.attempt.waitUntil - this.runtime.clock.now();
  }

  /** Asks Redis, again after an outage. */
  async #ask(): Promise<Granted | undefined> {
    const { clock } = this.runtime;
    const { ttlMs } = this.call;
    let askedAt = clock.now();
    let silentSince = askedAt;
    let askedAgain = false;
    for (let pauseMs = shortestPauseMs; ; pauseMs = Math.min(pauseMs * 2, 500)) {
      try {
        this.#waiter.startLooking();
        const reply = await this.contender.acquire(this.#waits, this.#waiter);
        if (reply.acquired) {
          const validUntil = leaseEnd(askedAt, ttlMs);
          if (isWorthHaving(validUntil - clock.now(), ttlMs)) {
            return { fencingToken: reply.fencingToken, validUntil, claimed: false };
          }
          this.#unanswered = true;
          if (askedAgain) throw tooLate(this.contender.key, ttlMs);
          askedAgain = true; // The event loop stood still, or Redis did: the same owner gets a full lease.
          silentSince = askedAt = clock.now();
          continue;
        }
        this.#queued = { reply, askedAt };
        this.attempt.story.contended();
        return undefined;
      } catch (error) {
        if (!(error instanceof RedisUnavailableError)) throw error;
        if (error.outcome === 'unknown') this.#unanswered = true;
        const handedOver = this.#accept(this.#waiter.takeHandOver());
        if (handedOver !== undefined) return handedOver;
        if (!this.#isPatient(error, silentSince)) throw error;
      }
      await this.#waiter.sleep(pauseMs * (0.5 + Math.random() / 2));
      this.#waiter.throwIfStopped();
      askedAt = clock.now();
    }
  }

  /**
   * Whether to ask again. A place in the queue is kept for the queue lease, so that long is a waiter patient, if its time allows. Without one
   * it takes at most two budgets: a question whose outcome is unknown is repeated once, since it may have been granted; another one while its first budget lasts,
   * unless the call does not wait anyway: then an open breaker is an answer.
   */
  #isPatient({ outcome }: RedisUnavailableError, silentSince: number): boolean {
    const { options, clock } = this.runtime;
    const silentMs = clock.now() - silentSince;
    if (this.#queued !== undefined) return silentMs < options.queueLeaseMs && this.#leftMs > 0;
    if (outcome === 'not-executed' && !this.#waits && !this.#unanswered) return false;
    const budgetMs = options.budgetMs(this.call.ttlMs);
    return silentMs < (outcome === 'unknown' ? budgetMs * 1.5 : budgetMs);
  }

  /**
   * A hand-over counts from the moment at which it happened on the server, which lies as long after the last answer as the server's clock says, but
   * never after now. When too little of the claim is left, or a newer answer named another holder, nothing is granted: asking tells who holds the lock.
   */
  #accept(handOver: HandOver | undefined): Granted | undefined {
    if (handOver === undefined || this.#queued === undefined) return undefined;
    const { clock } = this.runtime;
    const { reply, askedAt } = this.#queued;
    const handedOverAt = Math.min(askedAt + (handOver.serverMs - reply.serverMs), clock.now());
    const claimMs = Math.min(handOver.claimMs, this.call.ttlMs);
    const validUntil = leaseEnd(handedOverAt, claimMs);
    const overtaken = handOver.serverMs < reply.serverMs;
    if (overtaken || validUntil - clock.now() < claimMs / 4) {
      this.#waiter.lookAgain();
      return undefined;
    }
    return { fencingToken: handOver.fencingToken, validUntil, claimed: true };
  }

  /** When to look without having been called: at the end of the holder's lease, the first in the queue before the others, and as a sign of life. */
  #nextLookMs(): number {
    const aliveMs = this.runtime.options.queueLeaseMs / 3;
    if (this.#queued === undefined) return shortestPauseMs;
    const { leaseMs, next } = this.#queued.reply;
    const freeMs = leaseMs < 0 ? Infinity : leaseMs + (next ? 2 : 50 + Math.random() * 200);
    return Math.max(shortestPauseMs, Math.min(freeMs, aliveMs));
  }

  /** A question that surely never left, and one that did not ask for a place, leave nothing behind: an outage must not cause a storm of clearing up. */
  #clearUp(): void {
    const inQueue = this.#waits && this.#queued !== undefined;
    if (!inQueue && !this.#unanswered) return;
    this.runtime.clearUp(() => this.contender.giveUp(), this.call.ttlMs);
  }
}
