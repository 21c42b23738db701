import type { GroupSnapshot } from '../scripts/group-state.js';
import { ageOf } from './entry-id.js';

/** How a group stands, over all partitions of its stream. Ages are milliseconds of the server's clock. */
export interface GroupStatus {
  readonly name: string;
  /** Consumers that the group has a record of, the dead ones that nobody has removed included. */
  readonly consumers: number;
  /** How many entries it has never been given: counted, not estimated. */
  readonly lag: number;
  /** The age of the oldest of those; `undefined` without any. */
  readonly lagMs: number | undefined;
  /** How many it has been given and has not acknowledged, those in its retry stream included. */
  readonly pending: number;
  /** The age of the oldest of those, since it was published; `undefined` without any. */
  readonly oldestPendingMs: number | undefined;
  /** How many failed, or were replayed, and wait for their next attempt. */
  readonly retrying: number;
  readonly deadLetters: number;
  /** Whether it is paused, on every partition. */
  readonly paused: boolean;
  /** What it was given last; of a partitioned stream one per partition. */
  readonly lastDeliveredIds: readonly string[];
}

/** What a group has been given and has not acknowledged. */
export interface PendingSummary {
  readonly total: number;
  /** How long ago the oldest one was published, in milliseconds of the server's clock; `undefined` without any. */
  readonly oldestMs: number | undefined;
  /** How many each consumer holds, the most first. */
  readonly byConsumer: Readonly<Record<string, number>>;
  /** How many failed, or were replayed, and wait for their next attempt: with no consumer, and not part of `total`. */
  readonly retrying: number;
}

export function groupStatus(name: string, snapshots: readonly GroupSnapshot[], lag: number): GroupStatus {
  const { total, oldestMs, retrying } = pendingSummary(snapshots);
  return Object.freeze({
    name,
    consumers: Math.max(0, ...snapshots.map(({ consumers }) => consumers)),
    lag,
    lagMs: oldest(snapshots.map(({ nextId, nowMs }) => ageOf(nextId, nowMs))),
    pending: total,
    oldestPendingMs: oldestMs,
    retrying,
    deadLetters: sum(snapshots.map(({ deadLetters }) => deadLetters)),
    paused: snapshots.every(({ paused }) => paused),
    lastDeliveredIds: Object.freeze(snapshots.map(({ lastDeliveredId }) => lastDeliveredId)),
  });
}

export function pendingSummary(snapshots: readonly GroupSnapshot[]): PendingSummary {
  const counts = new Map<string, number>();
  for (const { pendingOf } of snapshots) {
    for (const [consumer, count] of pendingOf) counts.set(consumer, (counts.get(consumer) ?? 0) + count);
  }
  return Object.freeze({
    total: sum(snapshots.map(({ pending }) => pending)),
    oldestMs: oldest(snapshots.map(({ oldestPendingId, nowMs }) => ageOf(oldestPendingId, nowMs))),
    byConsumer: Object.freeze(Object.fromEntries([...counts].sort(([, a], [, b]) => b - a))),
    retrying: sum(snapshots.map(({ retrying }) => retrying)),
  });
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}

function oldest(ages: readonly (number | undefined)[]): number | undefined {
  const known = ages.filter((age) => age !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}
