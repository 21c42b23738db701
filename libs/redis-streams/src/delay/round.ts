import type { Cancel, Clock } from '@redstart/redis-core';

export interface RoundOptions {
  readonly clock: Clock;
  /** Looks at what is due. Never rejects; `undefined` when Redis did not answer. */
  readonly look: () => Promise<{ moved: number; waitMs: number } | undefined>;
  /** How long to wait at most until the next look. */
  readonly idleMs: () => number;
}

/** The next look comes so long after one that moved something, at least; one after the other would leave Redis no room. */
const busyGapMs = 5;
/** And after one that found nothing, since others were faster: they need no help. */
const vainGapMs = 10;
const longestBackoffMs = 2_000;

/**
 * When to look at some delay queues.
 *
 * It *rests* until `start`, and again from `stop` on. In between it is either *waiting*, with one timer at the earliest moment that anything is known to be due and no longer than
 * `idleMs`, or *looking*. Due times that it is told of while it looks count for the next wait, since the look may have come before them.
 */
export class Round {
  readonly #options: RoundOptions;
  #active = false;
  #looking: Promise<void> | undefined;
  #cancel: Cancel = () => undefined;
  /** By the clock, when the next look is planned. */
  #plannedAt = Infinity;
  /** By the clock, the earliest due time that we were told of since the last look began. */
  #expectedAt = Infinity;
  /** By the clock, when the next look may come at the earliest. */
  #notBefore = 0;
  #failures = 0;

  constructor(options: RoundOptions) {
    this.#options = options;
  }

  /** Looks at once, and goes on. */
  start(): void {
    this.#active = true;
    if (this.#looking === undefined) this.#plan(0);
  }

  async stop(): Promise<void> {
    this.#active = false;
    this.#cancel();
    this.#plannedAt = Infinity;
    await this.#looking;
  }

  /** Something is due in so many ms. */
  expect(inMs: number): void {
    const at = this.#options.clock.now() + inMs;
    this.#expectedAt = Math.min(this.#expectedAt, at);
    if (this.#active && this.#looking === undefined && at < this.#plannedAt) this.#plan(at);
  }

  #plan(wantedAt: number): void {
    const { clock } = this.#options;
    this.#cancel();
    this.#plannedAt = Math.max(wantedAt, this.#notBefore);
    this.#cancel = clock.after(
      this.#plannedAt - clock.now(),
      () => {
        this.#looking = this.#look();
      },
      { unref: true },
    );
  }

  async #look(): Promise<void> {
    const { clock, look, idleMs } = this.#options;
    this.#expectedAt = Infinity;
    const found = await look();
    const now = clock.now();
    this.#failures = found === undefined ? this.#failures + 1 : 0;
    this.#notBefore = now + (found === undefined ? this.#backoffMs() : found.moved > 0 ? busyGapMs : vainGapMs);
    this.#looking = undefined;
    // A little more each time, so that processes that were started together do not look together for ever.
    const idleAt = now + idleMs() * (1 + Math.random() * 0.05);
    if (this.#active) this.#plan(Math.min(idleAt, this.#expectedAt, now + (found?.waitMs ?? 0)));
  }

  #backoffMs(): number {
    return Math.min(longestBackoffMs, 50 * 2 ** Math.min(this.#failures, 10)) * (0.5 + Math.random() / 2);
  }
}
