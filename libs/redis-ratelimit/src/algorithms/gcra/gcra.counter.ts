import type { Charge, Counter } from '../algorithm.js';
import { ceilDiv, floorDiv } from '../exact-division.js';
import type { Gcra } from './gcra.js';

/** `gcraLua` in TypeScript. */
export class GcraCounter implements Counter {
  readonly #burst: number;
  readonly #p: number;
  readonly #q: number;
  #stored = { debt: 0, sinceUs: 0 };
  #debt = 0;
  #nowUs = 0;

  constructor({ burst, unit }: Gcra, before?: GcraCounter) {
    this.#burst = burst;
    this.#p = unit.numerator;
    this.#q = unit.denominator;
    if (before !== undefined) {
      const { debt, sinceUs } = before.#stored;
      this.#stored = { debt: Math.min(ceilDiv(debt, before.#p) * this.#p, Number.MAX_SAFE_INTEGER), sinceUs };
    }
  }

  at(nowUs: number): number {
    const { debt, sinceUs } = this.#stored;
    const isWrong = sinceUs - nowUs > ceilDiv(this.#burst * this.#p, this.#q);
    this.#debt = isWrong ? 0 : Math.max(0, debt - Math.max(0, nowUs - sinceUs) * this.#q);
    this.#nowUs = this.#debt > 0 ? Math.max(nowUs, sinceUs) : nowUs;
    return this.#nowUs;
  }

  wait(cost: number): number {
    if (cost > this.#burst) return Infinity;
    return ceilDiv(Math.max(0, this.#debt - (this.#burst - cost) * this.#p), this.#q);
  }

  left() {
    return {
      remaining: floorDiv(Math.max(0, this.#burst * this.#p - this.#debt), this.#p),
      resetUs: ceilDiv(this.#debt, this.#q),
    };
  }

  take(cost: number): number {
    this.#store(this.#debt + cost * this.#p);
    return this.#debt;
  }

  give({ cost, mark, atUs }: Charge): void {
    const owed = Math.max(0, mark - Math.max(0, this.#nowUs - atUs) * this.#q);
    this.#store(Math.max(0, this.#debt - Math.min(owed, cost * this.#p)));
  }

  keep(): void {
    this.#store(this.#debt);
  }

  #store(debt: number): void {
    this.#debt = debt;
    this.#stored = { debt, sinceUs: this.#nowUs };
  }
}
