import { LRUCache } from 'lru-cache';
import type { Clock } from '@redstart/redis-core';
import type { LocalCounter, Verdict } from '../scripts/algorithm.js';
import { algorithms } from '../scripts/algorithms.js';
import type { LimitCharge } from '../scripts/decide.js';

/**
 * Limits within this process while Redis is away, by the same algorithms.
 *
 * A counter is made at the first call on its key and kept by recent use: beyond `maxKeys`, the one unused for longest is forgotten. So memory
 * stays bounded whoever calls, and there are no timers.
 */
export class LocalLimiter {
  readonly #counters: LRUCache<string, LocalCounter>;
  readonly #clock: Clock;

  constructor(maxKeys: number, clock: Clock) {
    this.#counters = new LRUCache({ max: maxKeys });
    this.#clock = clock;
  }

  get size(): number {
    return this.#counters.size;
  }

  /** Decides like the script: every limit is charged, or none. */
  decide(charges: readonly LimitCharge[], take: boolean): Verdict[] {
    const now = Math.floor(this.#clock.now());
    const counters = charges.map((charge) => ({ counter: this.#counter(charge), cost: charge.cost }));
    const verdicts = counters.map(({ counter, cost }) => counter.look(now, cost));
    if (!take || verdicts.some(({ allowed }) => !allowed)) return verdicts;
    return counters.map(({ counter, cost }) => (cost > 0 ? counter.take(now, cost) : counter.look(now, 0)));
  }

  forget(key: string): void {
    this.#counters.delete(key);
  }

  #counter({ key, limit }: LimitCharge): LocalCounter {
    const counter = this.#counters.get(key) ?? algorithms[limit.kind].counter(limit);
    this.#counters.set(key, counter);
    return counter;
  }
}
