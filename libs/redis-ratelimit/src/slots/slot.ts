import type { Cancel } from '@redstart/redis-core';
import type { RateLimitDecision } from '../decision.js';
import type { TakenSlot } from '../deciding/decided.js';
import { SlotLostError } from '../ratelimit.errors.js';
import type { SlotKeeper } from './slot-keeper.js';

/** The right to be one of the calls under way; made by `RateLimitService.acquire`. Free it with `release`, or by `await using`. */
export interface Slot extends AsyncDisposable {
  readonly decision: RateLimitDecision;
  /** Aborts with {@link SlotLostError} when the slot is lost: Redis has forgotten it, or could not be reached before its lease lapsed. */
  readonly signal: AbortSignal;
  /**
   * Frees the slot. Never rejects because Redis is away, full or read-only: then the slot comes back as soon as Redis takes it, at the latest when its lease lapses.
   * @returns false: it was not held any more, or nobody can tell
   */
  release(): Promise<boolean>;
}

/** What a {@link HeldSlot} is made of. */
export interface SlotGrant {
  readonly decision: RateLimitDecision;
  readonly slots: readonly TakenSlot[];
  readonly id: string;
  /** When it was asked for, on the clock of this process: no lease began earlier. */
  readonly sentAtMs: number;
  /** Tells whoever waits for a slot in this process. */
  readonly onReleased: () => void;
}

/**
 * A slot of a call, in all of its policy's concurrency limits.
 *
 * - *held*: renewed three times in a lease; each renewal moves its deadline, one lease from when it was sent.
 * - *lost*: the deadline has passed, or a renewal found the slot gone. The signal aborts; nothing is renewed any more.
 * - *released*: by its holder.
 */
export class HeldSlot implements Slot {
  readonly decision: RateLimitDecision;
  readonly #keeper: SlotKeeper;
  readonly #grant: SlotGrant;
  readonly #abort = new AbortController();
  readonly #deadlinesMs: number[];
  readonly #stopRenewals: (() => void)[];
  #cancelTimer: Cancel | undefined;
  #released: Promise<boolean> | undefined;

  constructor(keeper: SlotKeeper, grant: SlotGrant) {
    this.decision = grant.decision;
    this.#keeper = keeper;
    this.#grant = grant;
    this.#deadlinesMs = grant.slots.map(({ leaseMs }) => grant.sentAtMs + leaseMs);
    this.#stopRenewals = grant.slots.map((slot, index) =>
      keeper.keep({
        ...slot,
        id: grant.id,
        onExtended: (sentAtMs) => {
          this.#deadlinesMs[index] = sentAtMs + slot.leaseMs;
        },
        onLost: () => {
          this.#lose('gone');
        },
      }),
    );
    this.#watchDeadline();
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  release(): Promise<boolean> {
    if (this.#released !== undefined) return Promise.resolve(false);
    this.#stop();
    this.#released = this.#keeper.free(this.#grant.slots, this.#grant.id).finally(this.#grant.onReleased);
    return this.#released;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  /** The timer stands at a deadline that may have moved on meanwhile. */
  #watchDeadline(): void {
    const deadlineMs = Math.min(...this.#deadlinesMs);
    if (deadlineMs === Infinity) return;
    const leftMs = deadlineMs - this.#keeper.clock.now();
    if (leftMs <= 0) {
      this.#lose('expired');
      return;
    }
    const watch = () => {
      this.#watchDeadline();
    };
    this.#cancelTimer = this.#keeper.clock.after(leftMs, watch, { unref: true });
  }

  #lose(reason: SlotLostError['reason']): void {
    if (this.#released !== undefined || this.#abort.signal.aborted) return;
    this.#stop();
    this.#abort.abort(new SlotLostError(this.decision.policy, reason));
  }

  #stop(): void {
    this.#cancelTimer?.();
    for (const stop of this.#stopRenewals) stop();
  }
}
