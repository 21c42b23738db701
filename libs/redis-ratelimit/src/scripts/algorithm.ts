/** What an algorithm says of one limit. Integers; times are milliseconds from the moment of the decision. */
export interface Verdict {
  readonly allowed: boolean;
  readonly remaining: number;
  /** 0 when allowed, `Infinity` when waiting does not help. */
  readonly retryAfterMs: number;
  readonly resetAfterMs: number;
  /** Where a charge stands, or would have stood: for a window the number of its bucket. */
  readonly mark: number;
}

/** The state of one limit for one subject in this process: the same arithmetic as the script's, on a time that is passed in. */
export interface LocalCounter {
  /** Decides without taking. */
  look(nowMs: number, cost: number): Verdict;
  /** Takes; only right after `look` has allowed it at the same moment. */
  take(nowMs: number, cost: number): Verdict;
}

/**
 * One way to limit, twice: as a fragment of the script, and as a model in TypeScript that computes exactly the same.
 *
 * The fragment is the body of a table with two functions, `look(key, now, cost, a, b, c)`, which writes nothing and returns a verdict
 * `{ ok, remaining, retry (-1: never), reset, mark }`, and `take(key, verdict, cost)`, which charges and brings `remaining` and `reset` up to date.
 */
export interface Algorithm<Limit> {
  /** The short name, in the script and in keys. */
  readonly id: string;
  readonly lua: string;
  /** The three parameters of the fragment. */
  parameters(limit: Limit): readonly [number, number, number];
  /** What distinguishes the stored state of two configurations that can't share it; part of the key. */
  fingerprint(limit: Limit): string;
  counter(limit: Limit): LocalCounter;
}
