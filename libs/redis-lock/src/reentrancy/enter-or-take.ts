import type { AcquireOutcome } from '../lease.js';
import { PartialReentryError } from './reentrancy.errors.js';
import type { LockNesting } from '../lock.errors.js';
import type { ResolvedHoldingCall } from '../lock.options.js';
import type { LockHolder } from '../owner.js';
import type { LockKind } from '../telemetry/lock-events.js';
import type { LockTelemetry } from '../telemetry/lock-telemetry.js';
import { frameAround, type NestingHost, type ReentrantFrame, type Reentry } from './frames.js';
import type { Holding } from './holding.js';
import { NestedLock } from './nested-lock.js';

/** A LockService, as far as nested calls are concerned. */
export interface ReentryHost extends NestingHost {
  readonly nodes: readonly unknown[];
  readonly telemetry: Pick<LockTelemetry, 'reentered'>;
}

/** What a call is to run its work under, or the key it failed at. */
export type HoldOutcome =
  | { readonly lock: Holding; readonly reentry: Reentry }
  | {
      readonly lock: undefined;
      readonly key: string;
      readonly holder: LockHolder | undefined;
      readonly nesting: LockNesting | undefined;
    };

/**
 * Uses the locks that a call with `reentrant` was made under, or takes them.
 *
 * @param keys the Redis keys of the locks
 * @param take takes them in Redis; given what is left of the time
 * @throws PartialReentryError · LockLostError when the lock around the call is lost · whatever `take` throws
 */
export async function enterOrTake(
  host: ReentryHost,
  keys: readonly string[],
  call: ResolvedHoldingCall,
  take: (call: ResolvedHoldingCall) => Promise<AcquireOutcome<Holding>>,
): Promise<HoldOutcome> {
  const { clock } = host;
  const startedAt = clock.now();
  const leftMs = () => Math.max(0, call.waitTimeoutMs - (clock.now() - startedAt));
  for (;;) {
    const frame = frameAround(host, keys);
    if (frame === undefined) return asHolding(host, keys, await take({ ...call, waitTimeoutMs: leftMs() }));
    const lock = await enter(frame, keys, leftMs(), call.signal);
    if (lock === 'timeout') return { lock: undefined, key: keys[0] ?? '', holder: undefined, nesting: 'sibling' };
    if (lock === 'closed') continue; // It has ended meanwhile: the next one around, or Redis.
    host.telemetry.reentered(kindOf(host, keys), call.label, clock.now() - startedAt);
    return { lock, reentry: frame.reentry };
  }
}

function kindOf({ nodes }: ReentryHost, keys: readonly string[]): LockKind {
  if (nodes.length > 1) return 'quorum';
  return keys.length === 1 ? 'mutex' : 'multi-lock';
}

/** What was taken in Redis, as something to nest calls in; or, with `nesting`, whether the call stood in its own way. */
export function asHolding(host: NestingHost, keys: readonly string[], outcome: AcquireOutcome<Holding>): HoldOutcome {
  if (outcome.lock !== undefined) return { lock: outcome.lock, reentry: { host, root: outcome.lock } };
  return { ...outcome, nesting: frameAround(host, keys) === undefined ? undefined : 'outer' };
}

async function enter(
  frame: ReentrantFrame,
  keys: readonly string[],
  waitMs: number,
  signal: AbortSignal | undefined,
): Promise<NestedLock | 'timeout' | 'closed'> {
  const { lock, reentry } = frame;
  const missing = keys.find((key) => !reentry.root.keys.includes(key));
  if (missing !== undefined) throw new PartialReentryError(missing, reentry.root.keys);
  const turnstile = frame.turnstileOf(reentry);
  const outcome = await turnstile.enter({ waitMs, signals: [lock.signal, signal] });
  if (outcome !== 'entered') return outcome;
  const leave = () => {
    turnstile.leave();
  };
  const nested = new NestedLock(lock, keys, leave);
  if (nested.isHeld) return nested;
  leave();
  return 'closed'; // Its own holder has released it; or it is lost by the clock, and by now its signal says so.
}
