import { ceil, LimitModel, max } from './limit.model.js';

/**
 * A bucket that leaks: each unit pours in `per`, and `rate` leaks out in every microsecond, so that `rate` units have leaked after `per`. It holds `burst` units.
 */
export class GcraModel extends LimitModel {
  protected readonly capacity: bigint;
  readonly #rate: bigint;
  readonly #perUs: bigint;
  #level = { content: 0n, atUs: 0n };

  constructor({ rate, perMs, burst }: { rate: number; perMs: number; burst: number }) {
    super();
    this.capacity = BigInt(burst);
    this.#rate = BigInt(rate);
    this.#perUs = BigInt(perMs) * 1_000n;
  }

  fits(atUs: bigint, cost: bigint): boolean {
    return this.#content(atUs) + cost * this.#perUs <= this.capacity * this.#perUs;
  }

  isEmpty(atUs: bigint): boolean {
    return this.#content(atUs) === 0n;
  }

  keep(atUs: bigint): void {
    const content = this.#content(atUs);
    // Time stands still while the clock is behind the last write.
    this.#level = { content, atUs: content > 0n ? max(atUs, this.#level.atUs) : atUs };
  }

  admit(atUs: bigint, cost: bigint): void {
    this.keep(atUs);
    this.#level = { ...this.#level, content: this.#level.content + cost * this.#perUs };
  }

  #content(atUs: bigint): bigint {
    const { content, atUs: sinceUs } = this.#level;
    const emptiesInUs = ceil(this.capacity * this.#perUs, this.#rate);
    if (sinceUs > atUs + emptiesInUs) return 0n; // A clock that was wrong.
    return max(0n, content - max(0n, atUs - sinceUs) * this.#rate);
  }
}
