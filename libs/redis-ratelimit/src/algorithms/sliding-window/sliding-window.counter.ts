import type { Charge, Counter } from '../algorithm.js';
import type { SlidingWindow } from './sliding-window.js';

/** `slidingWindowLua` in TypeScript. */
export class SlidingWindowCounter implements Counter {
  readonly #limit: SlidingWindow;
  /** For how many buckets a charge counts: the partly expired one in full. */
  readonly #release: number;
  /** Bucket number -> units taken in it. */
  #stored: ReadonlyMap<number, number> = new Map();
  /** Those that count now, oldest first. */
  #taken = new Map<number, number>();
  #current = 0;
  #nowUs = 0;
  #used = 0;

  constructor(limit: SlidingWindow, before?: SlidingWindowCounter) {
    this.#limit = limit;
    if (before !== undefined) this.#stored = before.#stored;
    this.#release = limit.buckets + 1;
  }

  at(nowUs: number): number {
    const { bucketUs } = this.#limit;
    const byClock = Math.floor(nowUs / bucketUs);
    const newest = Math.max(-1, ...this.#stored.keys());
    const isWrong = newest > byClock + this.#release;
    this.#current = isWrong ? byClock : Math.max(byClock, newest);
    this.#nowUs = this.#current > byClock ? newest * bucketUs : nowUs;
    const stored = isWrong ? [] : [...this.#stored].sort(([a], [b]) => a - b);
    const live = stored.filter(([bucket]) => bucket > this.#current - this.#release);
    this.#taken = new Map(live);
    this.#used = live.reduce((sum, [, taken]) => sum + taken, 0);
    return this.#nowUs;
  }

  wait(cost: number): number {
    let excess = this.#used + cost - this.#limit.limit;
    if (excess <= 0) return 0;
    for (const [bucket, taken] of this.#taken) {
      excess -= taken;
      if (excess <= 0) return this.#releasedIn(bucket);
    }
    return Infinity;
  }

  left() {
    const newest = [...this.#taken.keys()].at(-1);
    return {
      remaining: Math.max(0, this.#limit.limit - this.#used),
      resetUs: newest === undefined ? 0 : this.#releasedIn(newest),
    };
  }

  take(cost: number): number {
    this.#change(this.#current, cost);
    return this.#current;
  }

  give({ cost, mark }: Charge): void {
    this.#change(mark, -Math.min(cost, this.#taken.get(mark) ?? 0));
  }

  keep(): void {
    this.#stored = this.#taken;
  }

  #change(bucket: number, units: number): void {
    const taken = (this.#taken.get(bucket) ?? 0) + units;
    this.#used += units;
    if (taken > 0) this.#taken.set(bucket, taken);
    else this.#taken.delete(bucket);
    this.#stored = this.#taken;
  }

  /** When a bucket stops counting. */
  #releasedIn(bucket: number): number {
    return (bucket + this.#release) * this.#limit.bucketUs - this.#nowUs;
  }
}
