import type { RedisConnection } from '@redstart/redis-core';
import type { Limit } from '../../src/algorithms/algorithms.js';
import { LocalLimiter } from '../../src/local/local-limiter.js';
import type { Outcome } from '../../src/scripts/decide.js';
import { decideAt, newSubject, type Deeds } from './driven-script.js';

/** One limit of a subject, as its policy has it. */
export interface DrivenLimit {
  readonly limit: Limit;
  readonly enforce: boolean;
  readonly blockUs: number;
}

/** One entry of calls at a moment. */
export interface DrivenEntry {
  readonly atUs: bigint;
  /** One per limit. */
  readonly costs: readonly number[];
  readonly take: boolean;
  readonly id: string | undefined;
  readonly times: number;
}

export interface EntryDecision {
  readonly outcomes: readonly Outcome[];
  /** Of the script. */
  readonly deeds?: Deeds;
}

/** Decides calls on one new subject, one entry after the other. */
export type DrivenLimiter = (
  limits: readonly DrivenLimit[],
  entries: readonly DrivenEntry[],
) => Promise<EntryDecision[]>;

/** By the script. All entries are sent at once, which is fast, and the server keeps their order. */
export function byScript(connection: () => RedisConnection): DrivenLimiter {
  return async (limits, entries) => {
    const key = newSubject();
    const decide = async ({ atUs, costs, take, id, times }: DrivenEntry): Promise<EntryDecision> => {
      const charges = limits.map((one, index) => ({ ...one, key: key(index), cost: costs[index] ?? 0 }));
      const { outcomes, ...deeds } = await decideAt(connection(), atUs, charges, {
        take,
        times,
        ...(id === undefined ? {} : { id }),
      });
      return { outcomes, deeds };
    };
    const [first, ...others] = entries;
    if (first === undefined) return [];
    // The first one makes the script known: one that is not would be run behind later ones.
    return [await decide(first), ...(await Promise.all(others.map(decide)))];
  };
}

/** By what stands in while Redis is away. */
export const locally: DrivenLimiter = (limits, entries) => {
  const key = newSubject();
  let nowUs = 0n;
  // Half a microsecond more, because a fraction of a millisecond is not exact.
  const clock = { now: () => (Number(nowUs) + 0.5) / 1_000, after: () => () => undefined };
  const limiter = new LocalLimiter(100, clock);
  const decisions = entries.map(({ atUs, costs, take, id, times }): EntryDecision => {
    nowUs = atUs;
    const charges = limits.map(({ limit, enforce, blockUs }, index) => {
      return { key: key(index), limit, enforce, blockMs: blockUs / 1_000, cost: costs[index] ?? 0 };
    });
    return { outcomes: Array.from({ length: times }, () => limiter.decide(charges, take, id)) };
  });
  return Promise.resolve(decisions);
};
