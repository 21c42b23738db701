import { LRUCache } from 'lru-cache';
import type { Clock } from '@redstart/redis-core';
import type { Charge, Counter } from '../algorithms/algorithm.js';
import { algorithmOf, type Limit } from '../algorithms/algorithms.js';
import { ConcurrencyCounter } from '../algorithms/concurrency/concurrency.counter.js';
import type { Outcome, Verdict } from '../scripts/decide.js';

/** The state of one limit for one subject, as it is in Redis. */
export interface LimitState {
  readonly key: string;
  readonly limit: Limit;
}

/** One limit of a call that is decided here. */
export interface LocalCharge extends LimitState {
  readonly cost: number;
  readonly enforce: boolean;
  readonly blockMs: number;
}

/** The state of one limit for one subject. */
interface LocalState {
  readonly limit: Limit;
  readonly counter: Counter;
  blockedUntilUs: number;
}

/**
 * Limits within this process while Redis is away, by the same algorithms.
 *
 * A state is made at the first call on its key and kept by recent use: beyond `maxKeys`, the one unused for longest is forgotten. So memory
 * stays bounded whoever calls, and there are no timers. A limit that changes holds at once for what has been counted, as in Redis.
 */
export class LocalLimiter {
  readonly #states: LRUCache<string, LocalState>;
  readonly #clock: Clock;

  constructor(maxKeys: number, clock: Clock) {
    this.#states = new LRUCache({ max: maxKeys });
    this.#clock = clock;
  }

  get size(): number {
    return this.#states.size;
  }

  /** Decides like the script: every limit is charged, or none. */
  decide(charges: readonly LocalCharge[], take: boolean, id?: string): Outcome {
    const now = this.#now();
    const asked = charges.map((charge) => {
      const state = this.#stateOf(charge);
      const lagUs = state.counter.at(now, id) - now;
      const waitUs = waitOf(state, charge.cost, now, lagUs);
      return { charge, state, lagUs, waitUs, mark: 0 };
    });
    const allowed = asked.every(({ charge, waitUs }) => waitUs === 0 || !charge.enforce);
    const verdicts = asked.map(({ charge, state, lagUs, waitUs }): Verdict => {
      let mark = 0;
      let retryUs = waitUs;
      if (take && allowed && waitUs === 0 && charge.cost > 0) {
        mark = state.counter.take(charge.cost);
        state.blockedUntilUs = 0;
      } else if (take && startsBlock(charge, state, waitUs, now)) {
        state.counter.keep();
        state.blockedUntilUs = now + charge.blockMs * 1_000;
        retryUs = Math.max(waitUs, charge.blockMs * 1_000);
      }
      const { remaining, resetUs } = state.counter.left();
      const blockedUs = Math.max(0, state.blockedUntilUs - now);
      return {
        allowed: waitUs === 0,
        blocked: waitUs !== 0 && blockedUs > 0,
        remaining: blockedUs > 0 ? 0 : remaining,
        retryUs,
        resetUs: Math.max(resetUs > 0 ? resetUs + lagUs : 0, blockedUs),
        mark,
      };
    });
    return { atUs: now, verdicts };
  }

  /** Gives back what is still counted of these charges. @returns whether it was anything */
  give(charges: readonly { readonly key: string; readonly limit: Limit; readonly charge: Charge }[]): boolean {
    const now = this.#now();
    return charges
      .map(({ key, limit, charge }) => {
        if (!this.#states.has(key)) return false;
        const state = this.#stateOf({ key, limit });
        state.counter.at(now);
        const before = state.counter.left().remaining;
        state.counter.give(charge);
        return state.counter.left().remaining > before;
      })
      .some(Boolean);
  }

  /** Gives slots their full lease again. @returns whether all of them were still held */
  extend(keys: readonly string[], id: string): boolean {
    const now = this.#now();
    return keys.map((key) => this.#slots(key)?.extend(id, now) ?? false).every(Boolean);
  }

  /** Frees slots. @returns whether all of them were still held */
  release(keys: readonly string[], id: string): boolean {
    return keys.map((key) => this.#slots(key)?.release(id) ?? false).every(Boolean);
  }

  /** Refuses everything for so long, as Redis was told. */
  block({ key, limit }: LimitState, ms: number): void {
    this.#stateOf({ key, limit }).blockedUntilUs = this.#now() + ms * 1_000;
  }

  /** Counts so many units, as Redis was told. */
  set({ key, limit }: LimitState, units: number): void {
    if (limit.kind === 'concurrency') {
      this.#stateOf({ key, limit }).blockedUntilUs = 0;
      return;
    }
    this.forget(key);
    const { counter } = this.#stateOf({ key, limit });
    counter.at(this.#now());
    counter.take(units);
  }

  forget(key: string): void {
    this.#states.delete(key);
  }

  #now(): number {
    return Math.floor(this.#clock.now() * 1_000);
  }

  #slots(key: string): ConcurrencyCounter | undefined {
    const counter = this.#states.get(key)?.counter;
    return counter instanceof ConcurrencyCounter ? counter : undefined;
  }

  #stateOf({ key, limit }: LimitState): LocalState {
    const known = this.#states.get(key);
    if (known !== undefined && isSame(known.limit, limit)) return known;
    // What can't be counted on has another key.
    const counter = algorithmOf(limit).counter(limit, known?.counter);
    const state = { limit, counter, blockedUntilUs: known?.blockedUntilUs ?? 0 };
    this.#states.set(key, state);
    return state;
  }
}

/** Whoever makes a limit anew for each call means the same one, as long as its numbers are the same. */
function isSame(one: Limit, other: Limit): boolean {
  if (one === other) return true;
  if (one.kind !== other.kind) return false;
  const numbers = algorithmOf(other).parameters(other);
  return algorithmOf(one)
    .parameters(one)
    .every((number, index) => number === numbers[index]);
}

function waitOf({ counter, blockedUntilUs }: LocalState, cost: number, nowUs: number, lagUs: number): number {
  const wait = counter.wait(cost);
  return Math.max(wait > 0 ? wait + lagUs : 0, blockedUntilUs - nowUs);
}

function startsBlock(charge: LocalCharge, state: LocalState, waitUs: number, nowUs: number): boolean {
  const { cost, enforce, blockMs } = charge;
  return cost > 0 && enforce && blockMs > 0 && waitUs > 0 && waitUs < Infinity && state.blockedUntilUs <= nowUs;
}
