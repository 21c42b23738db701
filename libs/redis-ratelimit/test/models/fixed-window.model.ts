import { LimitModel, max, sum } from './limit.model.js';

/** A window starts with the first call after the last one, or by the calendar, and what was admitted in it counts until it ends. */
export class FixedWindowModel extends LimitModel {
  protected readonly capacity: bigint;
  readonly #windowUs: bigint;
  readonly #byCalendar: boolean;
  #startUs = 0n;
  #admitted: readonly bigint[] = [];

  constructor({ limit, windowMs, start }: { limit: number; windowMs: number; start: 'first-call' | 'calendar' }) {
    super();
    this.capacity = BigInt(limit);
    this.#windowUs = BigInt(windowMs) * 1_000n;
    this.#byCalendar = start === 'calendar';
  }

  fits(atUs: bigint, cost: bigint): boolean {
    return sum(this.#counted(atUs)) + cost <= this.capacity;
  }

  isEmpty(atUs: bigint): boolean {
    return this.#counted(atUs).length === 0;
  }

  keep(atUs: bigint): void {
    this.#admitted = this.#counted(atUs);
  }

  admit(atUs: bigint, cost: bigint): void {
    const counted = this.#counted(atUs);
    if (counted.length === 0) this.#startUs = this.#byCalendar ? atUs - (atUs % this.#windowUs) : atUs;
    this.#admitted = [...counted, cost];
  }

  /** Time stands still while the clock is before the window; one that starts further ahead than a window is of a clock that was wrong. */
  #counted(atUs: bigint): readonly bigint[] {
    const isWrong = this.#startUs > atUs + this.#windowUs;
    const isOver = max(atUs, this.#startUs) >= this.#startUs + this.#windowUs;
    return isWrong || isOver ? [] : this.#admitted;
  }
}
