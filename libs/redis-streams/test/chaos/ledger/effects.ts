import type { Handling, Stall, WaveRecord } from './wave-record.js';

/** Something that takes a member's messages away from it while it works on them: a SIGKILL, which nothing ends, or a time in which it stood still or heard nothing of Redis. */
export type Strike = Stall;

export interface EffectExcuses {
  /** Redis itself lost what was before this moment, the inbox included. On the clock of the ledger. */
  readonly lostUntil?: number;
  /** Who was killed, and when. */
  readonly killed: readonly Strike[];
}

/** How many messages of a member one strike can take from it before they are acknowledged: as many as it handles at a time. */
export const slots = 32;

/**
 * What is against the inbox: effects that took place too often.
 *
 * An effect outside of the Redis that remembers it takes place once. Each strike at a member may let what that was at work on be handled once more: of one message there is one effect and one
 * for each strike since its publication at most, and of all together one for each slot of a member that was struck. Without a strike no effect is repeated. What was begun before Redis
 * lost its data is not known to it any more, and does not count.
 */
export function tooManyEffects(record: WaveRecord, excuses: EffectExcuses): string[] {
  const { lostUntil = -Infinity } = excuses;
  let again = 0;
  let first = Infinity;
  const findings = idempotentEffects(record).flatMap(([message, all]) => {
    const counted = all.filter(({ begunAt }) => begunAt > lostUntil);
    if (counted.length < 2) return [];
    again += counted.length - 1;
    const from = Math.min(record.published.get(message)?.startedAt ?? Infinity, ...all.map(({ begunAt }) => begunAt));
    first = Math.min(first, from);
    const strikes = strikesBetween(from, Math.max(...counted.map(({ at }) => at)), record, excuses);
    if (counted.length <= 1 + strikes) return [];
    return [`${message} took effect ${counted.length} times, and ${strikes} strikes allow ${1 + strikes}`];
  });
  const allowed = slots * strikesBetween(first, Infinity, record, excuses);
  if (again > allowed) findings.push(`${again} effects were repeated, and strikes allow ${allowed}`);
  return findings;
}

/** The messages whose effect the inbox remembers, as far as they were handled. */
export function idempotentEffects({ published, handled }: WaveRecord): [string, readonly Handling[]][] {
  return [...published].flatMap(([message, { effect }]) => {
    const handlings = effect === 'by inbox' ? handled.get(message) : undefined;
    return handlings === undefined ? [] : [[message, handlings] satisfies [string, readonly Handling[]]];
  });
}

/** Of a member that was cut off since it stood still only one is counted. */
function strikesBetween(from: number, to: number, { stalls, cutOffs }: WaveRecord, { killed }: EffectExcuses): number {
  const within = (strike: Strike) => strike.from <= to && strike.at >= from;
  const lapses = [...stalls, ...cutOffs].filter(within);
  const distinct = lapses.filter(
    (one, at) => !lapses.some((other, before) => before < at && other.by === one.by && overlap(one, other)),
  );
  return killed.filter(within).length + distinct.length;
}

function overlap(one: Strike, other: Strike): boolean {
  return one.from <= other.at && other.from <= one.at;
}
