import { LimitModel, max, sum } from './limit.model.js';

interface Admitted {
  readonly atUs: bigint;
  readonly cost: bigint;
}

/** At most `limit` in any window: everything admitted within the window before a moment counts at it. */
export class SlidingLogModel extends LimitModel {
  protected readonly capacity: bigint;
  readonly #windowUs: bigint;
  #admitted: readonly Admitted[] = [];

  constructor({ limit, windowMs }: { limit: number; windowMs: number }) {
    super();
    this.capacity = BigInt(limit);
    this.#windowUs = BigInt(windowMs) * 1_000n;
  }

  fits(atUs: bigint, cost: bigint): boolean {
    return sum(this.#counted(atUs).map((one) => one.cost)) + cost <= this.capacity;
  }

  isEmpty(atUs: bigint): boolean {
    return this.#counted(atUs).length === 0;
  }

  keep(atUs: bigint): void {
    this.#admitted = this.#counted(atUs);
  }

  admit(atUs: bigint, cost: bigint): void {
    const moment = this.#moment(atUs);
    this.#admitted = [...this.#counted(atUs), { atUs: moment, cost }];
  }

  #counted(atUs: bigint): readonly Admitted[] {
    const moment = this.#moment(atUs);
    return this.#isWrong(atUs) ? [] : this.#admitted.filter((one) => one.atUs > moment - this.#windowUs);
  }

  /** Time stands still while the clock is behind the newest entry. */
  #moment(atUs: bigint): bigint {
    return this.#isWrong(atUs) ? atUs : max(atUs, this.#newest());
  }

  /** When that is further ahead than a window, it is of a clock that was wrong. */
  #isWrong(atUs: bigint): boolean {
    return this.#newest() > atUs + this.#windowUs;
  }

  #newest(): bigint {
    return this.#admitted.reduce((newest, one) => max(newest, one.atUs), 0n);
  }
}
