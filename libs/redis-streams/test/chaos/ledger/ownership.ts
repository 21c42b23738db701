import { abortOf } from './line.js';
import type { Run, Stall, WaveRecord } from './wave-record.js';

export interface OwnershipExcuses {
  /** Redis itself lost what was before this moment, leases included. On the clock of the ledger. */
  readonly lostUntil?: number;
  /** How long a lease lasts: for so long after a loss it is settled anew who owns what. */
  readonly leaseMs: number;
}

/** What is against the order of the keys: a message that was begun before the one in front of it had been handled. */
export function disorder({ runs, published, handled }: WaveRecord, excuses: OwnershipExcuses): string[] {
  const done = new Set<string>();
  return runs.flatMap(({ what, key, number, message, by }) => {
    if (what === 'handled') {
      done.add(message);
      return [];
    }
    const before = `${key}-${number - 1}`;
    if (number === 1 || done.has(before) || settledAnew(published.get(before)?.startedAt, excuses)) return [];
    const when = handled.has(before) ? 'was handled' : 'is there';
    return [`${message} was begun by ${by} before ${before} ${when}`];
  });
}

/** What is against one owner at a time: two members at work in a partition beside each other, neither of which stood still. */
export function sharedPartitions({ runs, stalls, aborted }: WaveRecord, excuses: OwnershipExcuses): string[] {
  const atWork = new Map<string, Run>();
  const inOrder = runs.filter(({ what }) => what === 'handled').toSorted((one, other) => one.begunAt - other.begunAt);
  return inOrder.flatMap((run) => {
    const last = atWork.get(run.partition);
    // The one that goes on for longest is beside whoever comes next.
    if (last === undefined || last.by === run.by || last.at <= run.at) atWork.set(run.partition, run);
    if (last === undefined || last.by === run.by || last.at <= run.begunAt) return [];
    if (settledAnew(run.begunAt, excuses)) return [];
    if ([last, run].some((one) => stoodStill(one, stalls, excuses.leaseMs) || aborted.has(abortOf(one)))) return [];
    return [
      `${run.message} was begun by ${run.by} in ${run.partition} while ${last.by} was at work on ${last.message}`,
    ];
  });
}

/** How often a partition went from one member to another. */
export function handOvers({ runs }: WaveRecord): number {
  const owners = new Map<string, string>();
  let count = 0;
  for (const { partition, by } of runs) {
    const owner = owners.get(partition);
    if (owner !== undefined && owner !== by) count += 1;
    owners.set(partition, by);
  }
  return count;
}

function settledAnew(at: number | undefined, { lostUntil, leaseMs }: OwnershipExcuses): boolean {
  return at !== undefined && lostUntil !== undefined && at <= lostUntil + leaseMs;
}

/** Shortly before the run, or during it: it may have lost its lease without knowing. */
function stoodStill({ by, begunAt, at }: Run, stalls: readonly Stall[], leaseMs: number): boolean {
  return stalls.some((stall) => stall.by === by && stall.from <= at && stall.at + leaseMs >= begunAt);
}
