import type { Charge, Counter } from '../algorithm.js';
import type { FixedWindow } from './fixed-window.js';

/** `fixedWindowLua` in TypeScript. */
export class FixedWindowCounter implements Counter {
  readonly #limit: FixedWindow;
  #stored = { used: 0, startUs: 0 };
  #used = 0;
  #startUs = 0;
  #nowUs = 0;

  constructor(limit: FixedWindow, before?: FixedWindowCounter) {
    this.#limit = limit;
    if (before !== undefined) this.#stored = before.#stored;
  }

  at(nowUs: number): number {
    const { windowUs } = this.#limit;
    const { used, startUs } = this.#stored;
    const isOver = startUs > nowUs + windowUs || nowUs >= startUs + windowUs;
    this.#used = isOver ? 0 : used;
    this.#startUs = this.#used > 0 ? startUs : this.#startOf(nowUs);
    this.#nowUs = Math.max(nowUs, this.#startUs);
    return this.#nowUs;
  }

  wait(cost: number): number {
    const { limit } = this.#limit;
    if (this.#used + cost <= limit) return 0;
    return cost > limit ? Infinity : this.#endsIn();
  }

  left() {
    return {
      remaining: Math.max(0, this.#limit.limit - this.#used),
      resetUs: this.#used === 0 ? 0 : this.#endsIn(),
    };
  }

  take(cost: number): number {
    this.#store(this.#used + cost);
    return this.#startUs;
  }

  give({ cost, mark }: Charge): void {
    if (mark === this.#startUs) this.#store(Math.max(0, this.#used - cost));
  }

  keep(): void {
    this.#store(this.#used);
  }

  /** Of a window whose first call is at that moment. */
  #startOf(nowUs: number): number {
    const { windowUs, originUs } = this.#limit;
    return originUs === undefined ? nowUs : nowUs - ((nowUs - originUs) % windowUs);
  }

  #store(used: number): void {
    this.#used = used;
    this.#stored = { used, startUs: this.#startUs };
  }

  #endsIn(): number {
    return this.#startUs + this.#limit.windowUs - this.#nowUs;
  }
}
