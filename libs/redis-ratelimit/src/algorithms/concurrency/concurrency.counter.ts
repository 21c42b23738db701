import type { Counter } from '../algorithm.js';
import type { Concurrency } from './concurrency.js';

/** `concurrencyLua` in TypeScript. */
export class ConcurrencyCounter implements Counter {
  readonly #limit: Concurrency;
  readonly #leaseUs: number;
  /** Slot id -> lease ends. */
  #stored: ReadonlyMap<string, number> = new Map();
  /** Those that count now. */
  #slots = new Map<string, number>();
  #id = '';
  #nowUs = 0;

  constructor(limit: Concurrency, before?: ConcurrencyCounter) {
    this.#limit = limit;
    if (before !== undefined) this.#stored = before.#stored;
    this.#leaseUs = limit.leaseMs * 1_000;
  }

  at(nowUs: number, id = ''): number {
    this.#nowUs = nowUs;
    this.#id = id;
    this.#slots = new Map([...this.#stored].filter(([, ends]) => ends > nowUs));
    return nowUs;
  }

  wait(cost: number): number {
    const excess = this.#slots.size - this.#limit.limit;
    if (cost === 0 || this.#slots.has(this.#id) || excess < 0) return 0;
    const ends = [...this.#slots.values()].sort((a, b) => a - b);
    return (ends[excess] ?? Infinity) - this.#nowUs;
  }

  left() {
    const latest = Math.max(this.#nowUs, ...this.#slots.values());
    return { remaining: Math.max(0, this.#limit.limit - this.#slots.size), resetUs: latest - this.#nowUs };
  }

  take(): number {
    this.#slots.set(this.#id, this.#nowUs + this.#leaseUs);
    this.#stored = this.#slots;
    return 0;
  }

  /** A slot ends by {@link release}, not by a receipt. */
  give(): void {
    // Nothing to give back.
  }

  keep(): void {
    this.#stored = this.#slots;
  }

  /** @returns whether the slot was still held */
  extend(id: string, nowUs: number): boolean {
    this.at(nowUs, id);
    if (!this.#slots.has(id)) return false;
    this.take();
    return true;
  }

  /** @returns whether the slot was still held */
  release(id: string): boolean {
    const left = new Map(this.#stored);
    const wasHeld = left.delete(id);
    this.#stored = left;
    return wasHeld;
  }
}
