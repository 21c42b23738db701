import type { HoldSaid, LogEntry, Pause } from './log-entry.js';

type HoldEntry = LogEntry & HoldSaid;

/** One acquisition from its entering to its end, as its holder told it. Times are those of `lookedAt`. */
export interface Hold {
  readonly hold: string;
  readonly worker: string;
  readonly key: string;
  readonly fence: number;
  readonly ttlMs: number;
  readonly from: number;
  /** Redis granted it after this. */
  readonly acquiredAfter: number;
  /** The end of the last lease that it spoke of. */
  readonly heldUntil: number;
  /** Until when it held the lock for sure. */
  readonly until: number;
  /** Every time at which it said that it holds the lock. */
  readonly claims: readonly HoldEntry[];
  /** When it saw that the lock is lost. */
  readonly noticedAt: number | undefined;
  /** When its holder could notice nothing. */
  readonly pauses: readonly Pause[];
}

/** The holds of a log, in the order in which they began. */
export function holdsOf(log: readonly LogEntry[]): Hold[] {
  const entries = new Map<string, HoldEntry[]>();
  for (const entry of log) {
    if (!isOfHold(entry)) continue;
    entries.set(entry.hold, [...(entries.get(entry.hold) ?? []), entry]);
  }
  return [...entries.values()].flatMap(holdOf).sort((a, b) => a.from - b.from);
}

/** None when the lock was lost before its holder could enter: then it never claimed it. */
function holdOf(entries: readonly HoldEntry[]): Hold[] {
  const enter = entries.find(({ what }) => what === 'enter');
  if (enter === undefined) return [];
  const claims = entries.filter(({ what }) => what !== 'lost');
  const loss = entries.find(({ what }) => what === 'lost');
  const noticedAt = loss?.lookedAt;
  const heldUntil = Math.max(...claims.map((claim) => claim.heldUntil));
  const exit = entries.find(({ what }) => what === 'exit');
  const lastClaim = Math.max(...claims.map(({ lookedAt }) => lookedAt));
  return [
    {
      hold: enter.hold,
      worker: enter.worker,
      key: enter.key,
      fence: enter.fence,
      ttlMs: enter.ttlMs,
      from: enter.lookedAt,
      acquiredAfter: enter.heldUntil - enter.ttlMs,
      heldUntil,
      until: exit?.lookedAt ?? Math.max(lastClaim, Math.min(heldUntil, noticedAt ?? Infinity)),
      claims,
      noticedAt,
      pauses: loss?.pauses ?? [],
    },
  ];
}

function isOfHold(entry: LogEntry): entry is HoldEntry {
  return entry.what === 'enter' || entry.what === 'still' || entry.what === 'lost' || entry.what === 'exit';
}
