import { ceil, LimitModel, max, sum } from './limit.model.js';

interface Admitted {
  readonly bucket: bigint;
  readonly cost: bigint;
}

/** Time in buckets of a window's Nth part: everything admitted in the current bucket and the N before it counts. */
export class SlidingWindowModel extends LimitModel {
  protected readonly capacity: bigint;
  readonly #bucketUs: bigint;
  /** For so many buckets a cost counts: that of its moment, and those that cover the window. */
  readonly #counts: bigint;
  #admitted: readonly Admitted[] = [];

  constructor({ limit, windowMs, buckets }: { limit: number; windowMs: number; buckets: number }) {
    super();
    const windowUs = BigInt(windowMs) * 1_000n;
    this.capacity = BigInt(limit);
    this.#bucketUs = ceil(windowUs, BigInt(buckets));
    this.#counts = ceil(windowUs, this.#bucketUs) + 1n;
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
    const bucket = this.#current(atUs);
    this.#admitted = [...this.#counted(atUs), { bucket, cost }];
  }

  #counted(atUs: bigint): readonly Admitted[] {
    const current = this.#current(atUs);
    return this.#isWrong(atUs) ? [] : this.#admitted.filter(({ bucket }) => bucket > current - this.#counts);
  }

  /** Time stands still while the clock is behind the newest bucket. */
  #current(atUs: bigint): bigint {
    const byClock = atUs / this.#bucketUs;
    return this.#isWrong(atUs) ? byClock : max(byClock, this.#newest());
  }

  /** When that is further ahead than a cost counts, it is of a clock that was wrong. */
  #isWrong(atUs: bigint): boolean {
    return this.#newest() > atUs / this.#bucketUs + this.#counts;
  }

  #newest(): bigint {
    return this.#admitted.reduce((newest, { bucket }) => max(newest, bucket), 0n);
  }
}
