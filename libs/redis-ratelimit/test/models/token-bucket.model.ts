import { ceil, LimitModel } from './limit.model.js';

interface Bucket {
  readonly tokens: bigint;
  /** When a portion was put in last; of a full bucket it doesn't matter. */
  readonly refilledUs: bigint;
}

/** A portion comes at the end of every period, the first of which begins as a full bucket is used. One portion after the other. */
export class TokenBucketModel extends LimitModel {
  protected readonly capacity: bigint;
  readonly #refill: bigint;
  readonly #perUs: bigint;
  #bucket: Bucket;

  constructor({ capacity, refill, perMs }: { capacity: number; refill: number; perMs: number }) {
    super();
    this.capacity = BigInt(capacity);
    this.#refill = BigInt(refill);
    this.#perUs = BigInt(perMs) * 1_000n;
    this.#bucket = { tokens: this.capacity, refilledUs: 0n };
  }

  fits(atUs: bigint, cost: bigint): boolean {
    return cost <= this.#at(atUs).tokens;
  }

  isEmpty(atUs: bigint): boolean {
    return this.#at(atUs).tokens === this.capacity;
  }

  keep(atUs: bigint): void {
    this.#bucket = this.#at(atUs);
  }

  admit(atUs: bigint, cost: bigint): void {
    const { tokens, refilledUs } = this.#at(atUs);
    this.#bucket = { tokens: tokens - cost, refilledUs: tokens === this.capacity ? atUs : refilledUs };
  }

  /** A portion that was put in ahead of the clock is kept, unless it is further ahead than the bucket takes to fill: then the clock was wrong. */
  #at(atUs: bigint): Bucket {
    let { tokens, refilledUs } = this.#bucket;
    const fillsInUs = ceil(this.capacity, this.#refill) * this.#perUs;
    if (refilledUs > atUs + fillsInUs) return { tokens: this.capacity, refilledUs: atUs };
    while (tokens < this.capacity && refilledUs + this.#perUs <= atUs) {
      refilledUs += this.#perUs;
      tokens = tokens + this.#refill < this.capacity ? tokens + this.#refill : this.capacity;
    }
    return { tokens, refilledUs };
  }
}
