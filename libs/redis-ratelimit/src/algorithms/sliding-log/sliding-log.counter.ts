import type { Charge, Counter } from '../algorithm.js';
import type { SlidingLog } from './sliding-log.js';

interface Entry {
  readonly atUs: number;
  readonly cost: number;
}

/** `slidingLogLua` in TypeScript; the log is short enough to be added up. */
export class SlidingLogCounter implements Counter {
  readonly #limit: SlidingLog;
  /** Oldest first, one per moment. */
  #stored: readonly Entry[] = [];
  /** Those that count now. */
  #entries: readonly Entry[] = [];
  #nowUs = 0;
  #used = 0;

  constructor(limit: SlidingLog, before?: SlidingLogCounter) {
    this.#limit = limit;
    if (before !== undefined) this.#stored = before.#stored;
  }

  at(nowUs: number): number {
    const { windowUs } = this.#limit;
    const newestUs = this.#stored.at(-1)?.atUs ?? -Infinity;
    const isWrong = newestUs > nowUs + windowUs;
    this.#nowUs = isWrong ? nowUs : Math.max(nowUs, newestUs);
    this.#view(isWrong ? [] : this.#stored.filter(({ atUs }) => atUs > this.#nowUs - windowUs));
    return this.#nowUs;
  }

  wait(cost: number): number {
    let excess = this.#used + cost - this.#limit.limit;
    if (excess <= 0) return 0;
    for (const entry of this.#entries) {
      excess -= entry.cost;
      if (excess <= 0) return entry.atUs + this.#limit.windowUs - this.#nowUs;
    }
    return Infinity;
  }

  left() {
    const newest = this.#entries.at(-1);
    return {
      remaining: Math.max(0, this.#limit.limit - this.#used),
      resetUs: newest === undefined ? 0 : newest.atUs + this.#limit.windowUs - this.#nowUs,
    };
  }

  take(cost: number): number {
    const newest = this.#entries.at(-1);
    const isSame = newest?.atUs === this.#nowUs;
    const before = isSame ? this.#entries.slice(0, -1) : this.#entries;
    this.#store([...before, { atUs: this.#nowUs, cost: cost + (isSame ? newest.cost : 0) }]);
    return this.#nowUs;
  }

  give({ cost, mark }: Charge): void {
    const left = this.#entries.map((entry) => (entry.atUs === mark ? { ...entry, cost: entry.cost - cost } : entry));
    this.#store(left.filter((entry) => entry.cost > 0));
  }

  keep(): void {
    this.#stored = this.#entries;
  }

  #store(entries: readonly Entry[]): void {
    this.#view(entries);
    this.#stored = entries;
  }

  #view(entries: readonly Entry[]): void {
    this.#entries = entries;
    this.#used = entries.reduce((sum, { cost }) => sum + cost, 0);
  }
}
