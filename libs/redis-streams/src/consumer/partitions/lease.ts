import type { Cancel, Clock } from '@redstart/redis-core';

/**
 * The right to one partition, as far as the local clock knows it.
 *
 * It *holds* from when it was asked for, as long as Redis keeps it or a little shorter, and each renewal puts its end off. Once it has *ended* it never holds again, whatever Redis answers later: somebody else may have worked on
 * the partition meanwhile, so who gets it back begins anew.
 */
export class Lease {
  readonly #clock: Clock;
  readonly #onLapse: () => void;
  #until = 0;
  #ended = false;
  #cancel: Cancel = () => undefined;

  /** @param until by the local clock @param onLapse told when it ends by itself, not before */
  constructor(clock: Clock, until: number, onLapse: () => void) {
    this.#clock = clock;
    this.#onLapse = onLapse;
    this.renew(until);
  }

  /** Asked before anything begins: after a process stood still no timer has told of it yet. */
  get holds(): boolean {
    this.#ended ||= this.#until <= this.#clock.now();
    return !this.#ended;
  }

  /** Whether it holds for longer than that, also if it is not renewed. */
  outlasts(ms: number): boolean {
    return this.holds && this.#until - this.#clock.now() > ms;
  }

  /** @returns whether it holds */
  renew(until: number): boolean {
    if (this.#until > 0 && !this.holds) return false;
    this.#until = until;
    this.#cancel();
    this.#cancel = this.#clock.after(until - this.#clock.now(), this.#onLapse, { unref: true });
    return this.holds;
  }

  end(): void {
    this.#ended = true;
    this.#cancel();
  }
}
