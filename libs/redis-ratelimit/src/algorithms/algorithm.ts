import type { ResolvedPolicyOptions } from '../policies/policy-options.js';

/** What every kind of limit tells of itself. */
export interface LimitShape {
  /** How many units may be taken out of a full one: the quota. */
  readonly limit: number;
  /** How long the quota takes to come back as a whole: the window. */
  readonly windowMs: number;
  /** The options of its policy, where it stands alone. */
  readonly policy: ResolvedPolicyOptions;
}

/** A charge, as a receipt remembers it. */
export interface Charge {
  readonly cost: number;
  /** Where it stands: for a window its bucket, for a bucket of tokens how much was owed right after it. */
  readonly mark: number;
  /** When it was made, in microseconds of the server. */
  readonly atUs: number;
}

/**
 * The state of one limit for one subject in this process: what the fragment of the script computes, in TypeScript, for the time without Redis.
 *
 * Every method but `at` speaks of the moment that `at` was last called with. Only `take`, `give` and `keep` change what is stored, so that a look leaves no trace.
 */
export interface Counter {
  /**
   * Moves to a moment, in microseconds. `id` is the slot that is asked for, where there are slots.
   * @returns the moment that counts: later than the given one while the clock is behind what has been counted already
   */
  at(nowUs: number, id?: string): number;
  /** How long to wait until `cost` fits: 0 now, `Infinity` never. */
  wait(cost: number): number;
  /** What could be taken, and when nothing is counted any more. */
  left(): { readonly remaining: number; readonly resetUs: number };
  /** Takes; only what fits. @returns the mark of the charge */
  take(cost: number): number;
  /** Gives back what of a charge is still counted. */
  give(charge: Charge): void;
  /** Stores what counts now, as the script does with each write: when a block begins, nothing is taken. */
  keep(): void;
}

/**
 * One way to limit, twice: as a fragment of the scripts, and as a {@link Counter} in TypeScript that computes exactly the same.
 *
 * The fragment is the body of a table of functions. Integers everywhere, time in microseconds.
 *
 * - `load(key, now, a, b, c, id)` reads, writes nothing. Returns the state, or nil and what is wrong with the key. Of the state, `now` is the moment that
 *   counts, later than the given one while the clock is behind what has been counted already, and `blocked` the moment until which the subject is refused, 0 for none.
 * - `wait(state, cost)` how long until `cost` fits: 0 now, -1 never
 * - `left(state)` what could be taken, and how long until nothing is counted any more
 * - `take(state, cost)` takes what fits, in memory; returns the mark of the charge
 * - `give(state, cost, mark, at)` gives back, in memory, what of that charge is still counted
 * - `clear(state)` gives everything back, in memory
 * - `save(state, ttl)` writes what has changed, to live for `ttl` milliseconds
 */
export interface Algorithm<L extends LimitShape> {
  /** The short name, in the script and in keys. */
  readonly id: string;
  readonly lua: string;
  /** `a`, `b` and `c` of the fragment. */
  parameters(limit: L): readonly [number, number, number];
  /** What distinguishes the stored state of two configurations that can't share it; part of the key. */
  fingerprint(limit: L): string;
  /** @param before what has been counted under a limit of the same fingerprint: it stays counted */
  counter(limit: L, before?: Counter): Counter;
}
