import type { ThrottlerRule } from '../../src/scripts/throttler.js';

export interface ModelVerdict {
  readonly allowed: boolean;
  readonly hits: number;
  readonly waitUs: bigint;
}

/**
 * What a throttler promises, written down without any regard to cost: every hit that was ever allowed, and how often it has been blocked.
 * The window is counted anew each time, and the wait is found by asking at each moment at which anything can change.
 */
export class ThrottlerModel {
  #allowedAt: bigint[] = [];
  #blockedUntil = 0n;

  hit(atUs: number, { limit, ttlMs, blockMs }: ThrottlerRule): ModelVerdict {
    const now = BigInt(atUs);
    const ttl = BigInt(ttlMs) * 1_000n;
    const most = BigInt(limit);
    const inWindow = (at: bigint) => this.#allowedAt.filter((hit) => hit > at - ttl);
    if (now < this.#blockedUntil) return { allowed: false, hits: limit + 1, waitUs: this.#blockedUntil - now };
    if (BigInt(inWindow(now).length) < most) {
      this.#allowedAt.push(now);
      const window = inWindow(now);
      return { allowed: true, hits: Math.max(1, window.length), waitUs: (window[0] ?? now) + ttl - now };
    }
    if (blockMs > 0) {
      this.#allowedAt = [];
      this.#blockedUntil = now + BigInt(blockMs) * 1_000n;
      return { allowed: false, hits: limit + 1, waitUs: this.#blockedUntil - now };
    }
    const free = this.#allowedAt.map((hit) => hit + ttl).find((at) => at > now && BigInt(inWindow(at).length) < most);
    return { allowed: false, hits: limit + 1, waitUs: (free ?? now + ttl) - now };
  }
}
