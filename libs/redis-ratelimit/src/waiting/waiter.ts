import type { Cancel, Clock } from '@redstart/redis-core';

/**
 * One who waits, in its pauses and its tries.
 *
 * - *waiting*: `pause` ends with its time, or as soon as it is woken; `hear` with what it waits for.
 * - *called off*: by its signal, or because the application closes. Whatever it waits for then, or later, rejects at once with the reason.
 * - *gone*: `leave` takes its hand off the signal.
 */
export class Waiter {
  readonly #clock: Clock;
  readonly #signal: AbortSignal | undefined;
  #calledOff: Error | undefined;
  #wake: (() => void) | undefined;
  /** Woken while it was not pausing: what it was woken for may be over before the next pause. */
  #wasWoken = false;
  #interrupt: ((reason: Error) => void) | undefined;

  constructor(clock: Clock, signal: AbortSignal | undefined) {
    this.#clock = clock;
    this.#signal = signal;
    if (signal?.aborted === true) this.#abort();
    else signal?.addEventListener('abort', this.#abort, { once: true });
  }

  /** Waits so long, or until woken. */
  async pause(ms: number): Promise<void> {
    this.#checkCalledOff();
    if (this.#wasWoken) return;
    let cancel: Cancel | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#interrupt = reject;
        this.#wake = resolve;
        cancel = this.#clock.after(ms, resolve);
      });
    } finally {
      cancel?.();
      this.#wake = undefined;
      this.#interrupt = undefined;
    }
  }

  /**
   * Waits for somebody else's work, which goes on when the waiter is called off.
   * @param unheard gets what came of it too late
   */
  async hear<T>(work: () => Promise<T>, unheard: (value: T) => void): Promise<T> {
    this.#checkCalledOff();
    this.#wasWoken = false;
    try {
      return await new Promise<T>((resolve, reject) => {
        let isHeard = true;
        this.#interrupt = (reason) => {
          isHeard = false;
          reject(reason);
        };
        work().then((value) => {
          if (isHeard) resolve(value);
          else unheard(value);
        }, reject);
      });
    } finally {
      this.#interrupt = undefined;
    }
  }

  wake(): void {
    if (this.#wake === undefined) this.#wasWoken = true;
    else this.#wake();
  }

  callOff(reason: Error): void {
    this.#calledOff ??= reason;
    this.#interrupt?.(this.#calledOff);
  }

  leave(): void {
    this.#signal?.removeEventListener('abort', this.#abort);
  }

  readonly #abort = (): void => {
    const reason: unknown = this.#signal?.reason;
    this.callOff(reason instanceof Error ? reason : new Error('The wait was aborted.', { cause: reason }));
  };

  #checkCalledOff(): void {
    if (this.#calledOff !== undefined) throw this.#calledOff;
  }
}
