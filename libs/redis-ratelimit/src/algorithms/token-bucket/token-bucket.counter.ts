import type { Charge, Counter } from '../algorithm.js';
import { ceilDiv, floorDiv } from '../exact-division.js';
import type { TokenBucket } from './token-bucket.js';

/** `tokenBucketLua` in TypeScript. */
export class TokenBucketCounter implements Counter {
  readonly #limit: TokenBucket;
  #stored = { missing: 0, refilledUs: 0 };
  #missing = 0;
  #refilledUs = 0;
  #nowUs = 0;

  constructor(limit: TokenBucket, before?: TokenBucketCounter) {
    this.#limit = limit;
    if (before !== undefined) this.#stored = before.#stored;
  }

  at(nowUs: number): number {
    const { capacity, refill, perUs } = this.#limit;
    const { missing, refilledUs } = this.#stored;
    const isWrong = refilledUs - nowUs > ceilDiv(capacity, refill) * perUs;
    this.#nowUs = missing > 0 && !isWrong ? Math.max(nowUs, refilledUs) : nowUs;
    const portions = isWrong ? Infinity : floorDiv(this.#nowUs - Math.min(refilledUs, this.#nowUs), perUs);
    this.#missing = missing === 0 ? 0 : Math.max(0, missing - portions * refill);
    this.#refilledUs = this.#missing > 0 ? refilledUs + portions * perUs : this.#nowUs;
    return this.#nowUs;
  }

  wait(cost: number): number {
    const { capacity } = this.#limit;
    if (cost > capacity) return Infinity;
    return this.#filledIn(Math.max(0, this.#missing + cost - capacity));
  }

  left() {
    return { remaining: Math.max(0, this.#limit.capacity - this.#missing), resetUs: this.#filledIn(this.#missing) };
  }

  take(cost: number): number {
    this.#store(this.#missing + cost);
    return this.#missing;
  }

  give({ cost, mark, atUs }: Charge): void {
    const { refill, perUs } = this.#limit;
    const portions = this.#refilledUs > atUs ? ceilDiv(this.#refilledUs - atUs, perUs) : 0;
    const missing = Math.max(0, mark - portions * refill);
    this.#store(Math.max(0, this.#missing - Math.min(missing, cost)));
  }

  keep(): void {
    this.#store(this.#missing);
  }

  #store(missing: number): void {
    this.#missing = missing;
    this.#stored = { missing, refilledUs: this.#refilledUs };
  }

  /** How long until so many tokens have come. */
  #filledIn(tokens: number): number {
    const { refill, perUs } = this.#limit;
    return tokens === 0 ? 0 : this.#refilledUs + ceilDiv(tokens, refill) * perUs - this.#nowUs;
  }
}
