import type { Clock } from '@redstart/redis-core';
import { isOutOfReach } from '../out-of-reach.js';
import { LockLostError, LockNotAcquiredError, type LockLossReason } from '../lock.errors.js';
import { LockNotReplicatedError } from '../replicas/replicas.errors.js';
import type { ResolvedLockCall } from '../lock.options.js';
import type { LockFailure, LockHappening, LockKind } from './lock-events.js';
import type { LockTelemetry } from './lock-telemetry.js';

/** What a story needs to know of its call. */
export type ToldCall = Pick<ResolvedLockCall, 'label' | 'signal' | 'waitTimeoutMs'>;

/** What there is to tell of one call, and of the lock that comes of it. */
export interface LockStory {
  /** It is held by somebody else. Told once. */
  contended(): void;
  /** It was not to be had, in the time that the call gave it. */
  inVain(): void;
  /** An outage, a signal, a shutdown or a defect ended the attempt. */
  failed(error: unknown): void;
  acquired(): void;
  extended(): void;
  extendFailed(): void;
  lost(reason: LockLossReason): void;
  /** @param wasHeld until then */
  released(wasHeld: boolean): void;
  releaseFailed(): void;
}

/**
 * The story of a call that a user has made.
 *
 * - *asking*: from the start.
 * - *holding*: from `acquired`.
 * - *over*: by `lost`, `released` or `releaseFailed`, whichever comes first. A release after that is told, but not counted.
 */
export class CallStory implements LockStory {
  #acquiredAt: number | undefined;
  #contended = false;
  #over = false;

  constructor(
    private readonly telemetry: LockTelemetry,
    private readonly clock: Clock,
    private readonly kind: LockKind,
    private readonly call: ToldCall,
    private readonly askedAt: number,
  ) {
    telemetry.counters.add('attempts');
    if (telemetry.heard) this.#publish({ event: 'attempt' });
  }

  contended(): void {
    if (this.#contended) return;
    this.#contended = true;
    this.telemetry.counters.add('contended');
    if (this.telemetry.heard) this.#publish({ event: 'contended' });
  }

  inVain(): void {
    const waited = this.call.waitTimeoutMs > 0;
    this.telemetry.counters.add(waited ? 'timeouts' : 'refused');
    if (!this.telemetry.heard) return;
    this.#publish(waited ? { event: 'timeout', waitedMs: this.clock.now() - this.askedAt } : { event: 'refused' });
  }

  failed(error: unknown): void {
    this.telemetry.counters.add('failed');
    if (!this.telemetry.heard) return;
    this.#publish({ event: 'failed', waitedMs: this.clock.now() - this.askedAt, reason: this.#reasonOf(error) });
  }

  acquired(): void {
    if (this.#acquiredAt !== undefined) return; // It goes on as something else.
    this.#acquiredAt = this.clock.now();
    const waitedMs = this.#acquiredAt - this.askedAt;
    this.telemetry.counters.add('acquired');
    this.telemetry.counters.add('waitedMs', waitedMs);
    if (this.telemetry.heard) this.#publish({ event: 'acquired', waitedMs });
  }

  extended(): void {
    this.telemetry.counters.add('extended');
    if (this.telemetry.heard) this.#publish({ event: 'extended' });
  }

  extendFailed(): void {
    this.telemetry.counters.add('extendFailed');
    if (this.telemetry.heard) this.#publish({ event: 'extend-failed' });
  }

  lost(reason: LockLossReason): void {
    const heldMs = this.#end('lost');
    if (this.telemetry.heard) this.#publish({ event: 'lost', heldMs, reason });
  }

  released(wasHeld: boolean): void {
    const heldMs = this.#end('released');
    if (this.telemetry.heard) this.#publish({ event: 'released', heldMs, wasHeld });
  }

  releaseFailed(): void {
    const heldMs = this.#end('releaseFailed');
    if (this.telemetry.heard) this.#publish({ event: 'release-failed', heldMs });
  }

  #reasonOf(error: unknown): LockFailure {
    if (isOutOfReach(error)) return 'unavailable';
    if (error instanceof LockNotReplicatedError) return 'not-replicated';
    if (error instanceof LockNotAcquiredError) return 'shutdown';
    if (error instanceof LockLostError) return 'lost';
    return this.call.signal?.aborted === true ? 'aborted' : 'error';
  }

  #end(as: 'lost' | 'released' | 'releaseFailed'): number {
    const heldMs = this.clock.now() - (this.#acquiredAt ?? this.askedAt);
    if (this.#over) return heldMs;
    this.#over = true;
    this.telemetry.counters.add(as);
    this.telemetry.counters.add('heldMs', heldMs);
    return heldMs;
  }

  #publish(happening: LockHappening): void {
    this.telemetry.publish(this.kind, this.call.label, happening);
  }
}

/** Of one key of several that are taken one after the other: only that it was held by somebody is worth telling, as of the whole. */
export function partOf(whole: LockStory): LockStory {
  return {
    contended: () => {
      whole.contended();
    },
    inVain: ignore,
    failed: ignore,
    acquired: ignore,
    extended: ignore,
    extendFailed: ignore,
    lost: ignore,
    released: ignore,
    releaseFailed: ignore,
  };
}

function ignore(): void {
  // The whole is told of, not its parts.
}
