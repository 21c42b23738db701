import type { LogEntry, RedisForgot } from './log-entry.js';
import { holdsOf, type Hold } from './hold.js';

type Forgot = LogEntry & RedisForgot;

/** Clocks are one clock here, so this only allows for rounding. It is far below the margin that the lock itself keeps (1 % of the lease and 2 ms). */
const roundingMs = 2;
/** How late a timer may fire, by the time in which its process has run since. */
const lateTimerMs = 500;

export interface Expectation {
  /** Codes of errors that calls may reject with in this test. */
  readonly allowedFailures: readonly string[];
}

/** Everything that a log shows to be against the promises of a lock, in words; empty when it holds. */
export function checkLog(log: readonly LogEntry[], expected: Expectation): string[] {
  const holds = holdsOf(log);
  const forgets = log.filter(
    (entry): entry is Forgot => entry.what === 'forgot' || entry.what === 'may-have-forgotten',
  );
  return [
    ...overlaps(holds, forgets),
    ...fallingTokens(holds, forgets),
    ...claimsBeyondTheLease(holds),
    ...renewalsOfWhatIsGone(holds, forgets),
    ...lateNotices(holds, log),
    ...unexpectedFailures(log, expected),
  ];
}

/**
 * Two holds of one key overlap when the second one begins before the first one has ended. A hold ends with its exit; a lost one, or one of a process that died,
 * at the end of the last lease that it spoke of, or when it saw the loss if that was earlier. So what legally lapsed ends before the next begins, by itself. The one
 * excuse is that Redis lost the lock of one before the other came.
 */
function overlaps(holds: readonly Hold[], forgets: readonly Forgot[]): string[] {
  const findings: string[] = [];
  for (const [key, ofKey] of byKey(holds)) {
    ofKey.forEach((first, index) => {
      for (const second of ofKey.slice(index + 1)) {
        if (second.from + roundingMs >= first.until) continue;
        const [elder, younger] = first.fence <= second.fence ? [first, second] : [second, first];
        if (!isLostBefore(elder, younger, forgets)) {
          const by = (first.until - second.from).toFixed(1);
          findings.push(`overlap on ${key}: ${name(second)} entered ${by} ms before the end of ${name(first)}`);
        }
      }
    });
  }
  return findings;
}

/** Whoever is slow to enter does so behind the next one, if Redis lost its lock meanwhile: the order of the grants is told by the tokens. */
function isLostBefore(elder: Hold, younger: Hold, forgets: readonly Forgot[]): boolean {
  return forgets.some((forgot) => elder.acquiredAfter <= forgot.lookedAt && younger.from + roundingMs >= forgot.from);
}

/** In the order in which they began, which is the order of their grants unless Redis lost one: each began while its lease ran. */
function fallingTokens(holds: readonly Hold[], forgets: readonly Forgot[]): string[] {
  const findings: string[] = [];
  for (const [key, ofKey] of byKey(holds)) {
    ofKey.reduce((highest: Hold | undefined, hold) => {
      if (highest !== undefined && hold.fence <= highest.fence) {
        if (hold.fence < highest.fence && isLostBefore(hold, highest, forgets)) return highest;
        findings.push(`token of ${key} did not rise: ${name(hold)} came after ${name(highest)}`);
        return highest;
      }
      return hold;
    }, undefined);
  }
  return findings;
}

/** `isHeld` said yes when the last lease that it had spoken of was over, and no other had taken its place. */
function claimsBeyondTheLease(holds: readonly Hold[]): string[] {
  return holds.flatMap((hold) => {
    let heldUntil = Infinity;
    return hold.claims.flatMap((claim) => {
      const overdue = claim.lookedAt - heldUntil;
      const renewed = claim.heldUntil > claim.lookedAt;
      heldUntil = Math.max(claim.heldUntil, heldUntil === Infinity ? 0 : heldUntil);
      if (renewed || overdue < roundingMs) return [];
      return [`${name(hold)} claimed ${hold.key} ${overdue.toFixed(1)} ms after its lease had ended`];
    });
  });
}

/** What was held when Redis lost all data can't be renewed: its lease ends with the last renewal before that. */
function renewalsOfWhatIsGone(holds: readonly Hold[], forgets: readonly Forgot[]): string[] {
  return forgets
    .filter(({ what }) => what === 'forgot')
    .flatMap(({ from, lookedAt }) =>
      holds
        .filter((hold) => hold.from < from && hold.until > lookedAt && hold.heldUntil > lookedAt + hold.ttlMs)
        .map((hold) => `${name(hold)} went on to renew ${hold.key} after Redis had lost it`),
    );
}

/** The signal aborts when the lease ends. A stopped or stalled process sees it as soon as it goes on, and so does one that a busy machine left standing for a while. */
function lateNotices(holds: readonly Hold[], log: readonly LogEntry[]): string[] {
  return holds.flatMap((hold) => {
    if (hold.noticedAt === undefined) return [];
    const thaws = log.filter((entry) => entry.what === 'thawed' && entry.worker === hold.worker);
    const awakeSince = Math.max(hold.heldUntil, ...thaws.map((entry) => frozenUntil(entry.lookedAt, hold, log)));
    const late = hold.noticedAt - awakeSince - pausedWithin(awakeSince, hold.noticedAt, hold);
    return late > lateTimerMs ? [`${name(hold)} noticed the loss of ${hold.key} ${late.toFixed(0)} ms late`] : [];
  });
}

/** For how long in this time its holder stood still. */
function pausedWithin(from: number, to: number, { pauses }: Hold): number {
  return pauses.reduce((sum, [begin, end]) => sum + Math.max(0, Math.min(end, to) - Math.max(begin, from)), 0);
}

/** The end of a freeze, if that began before the loss was noticed and outlasted the lease. */
function frozenUntil(thawedAt: number, hold: Hold, log: readonly LogEntry[]): number {
  const frozeAt = Math.max(
    ...log
      .filter((entry) => entry.what === 'froze' && entry.worker === hold.worker && entry.lookedAt <= thawedAt)
      .map(({ lookedAt }) => lookedAt),
  );
  return frozeAt < (hold.noticedAt ?? Infinity) && thawedAt > hold.heldUntil ? thawedAt : -Infinity;
}

function unexpectedFailures(log: readonly LogEntry[], { allowedFailures }: Expectation): string[] {
  return log.flatMap((entry) =>
    entry.what === 'failed' && !allowedFailures.includes(entry.code)
      ? [`a call of ${entry.worker} failed: ${entry.code} ${entry.message}`]
      : [],
  );
}

function byKey(holds: readonly Hold[]): Map<string, Hold[]> {
  const keys = new Map<string, Hold[]>();
  for (const hold of holds) keys.set(hold.key, [...(keys.get(hold.key) ?? []), hold]);
  return keys;
}

function name({ hold, fence }: Hold): string {
  return `${hold} (token ${fence})`;
}
