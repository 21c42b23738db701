import type { Clock } from '@redstart/redis-core';

export interface TurnRequest {
  /** 0: now or not at all. */
  readonly waitMs: number;
  /** End the wait; the call rejects with their reason. */
  readonly signals: readonly (AbortSignal | undefined)[];
}

/** How it ended: with a turn, in vain, or because nobody gets a turn any more. */
export type TurnOutcome = 'entered' | 'timeout' | 'closed';

/** How a wait ends: a signal's reason is passed on as it is. */
type WaitEnd = TurnOutcome | { readonly reason: unknown };

/**
 * Lets one call at a time under a lock, in the order in which they came.
 *
 * - *open*: from the start. `leave` passes the turn on.
 * - *closed*: by `close`. Nobody gets a turn any more, and whoever waits is told so at once; the call that has the turn is waited for.
 */
export class Turnstile {
  #occupied = false;
  #closed = false;
  /** What ends the wait of each, in their order. */
  readonly #waiting = new Set<(outcome: WaitEnd) => void>();
  /** Hears of the end of the last call under way, during `close`. */
  #onLeave: (() => void) | undefined;

  constructor(private readonly clock: Clock) {}

  async enter({ waitMs, signals }: TurnRequest): Promise<TurnOutcome> {
    for (const signal of signals) signal?.throwIfAborted();
    if (this.#closed) return 'closed';
    if (!this.#occupied) {
      this.#occupied = true;
      return 'entered';
    }
    if (waitMs === 0) return 'timeout';
    const outcome = await this.#wait(waitMs, signals);
    if (typeof outcome === 'object') throw outcome.reason as Error;
    return outcome;
  }

  leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#occupied = false;
      this.#onLeave?.();
      return;
    }
    next('entered');
  }

  /** @returns the end of the call under way, if there is one */
  close(): Promise<void> | undefined {
    this.#closed = true;
    for (const end of this.#waiting) end('closed');
    if (!this.#occupied) return undefined;
    return new Promise<void>((resolve) => {
      this.#onLeave = resolve;
    });
  }

  #wait(waitMs: number, signals: readonly (AbortSignal | undefined)[]): Promise<WaitEnd> {
    return new Promise((resolve) => {
      const end = (outcome: WaitEnd) => {
        this.#waiting.delete(end);
        cancel();
        for (const signal of signals) signal?.removeEventListener('abort', onAbort);
        resolve(outcome);
      };
      const onAbort = () => {
        end({ reason: signals.find((signal) => signal?.aborted)?.reason });
      };
      const cancel = this.clock.after(waitMs, () => {
        end('timeout');
      });
      for (const signal of signals) signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting.add(end);
    });
  }
}
