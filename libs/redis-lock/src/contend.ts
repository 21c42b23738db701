import { HeldLock } from './held-lock.js';
import type { HeldLockState } from './held-lock-state.js';
import type { AcquireOutcome, Contender } from './lease.js';
import type { LockRuntime } from './lock-runtime.js';
import { LockTimeoutError } from './lock.errors.js';
import type { ResolvedLockCall } from './lock.options.js';
import { newOwner, newToken } from './owner.js';
import type { LockKind } from './telemetry/lock-events.js';
import type { LockStory } from './telemetry/lock-story.js';
import { Acquisition, type Granted } from './waiting/acquisition.js';

/** Who calls, and until when: the same for everything that one call takes. */
export interface Attempt {
  readonly token: string;
  readonly owner: string;
  /** On the runtime's clock; `-Infinity` takes it at once or not at all. */
  readonly waitUntil: number;
  /** What becomes of it, for telemetry. */
  readonly story: LockStory;
}

/**
 * A new owner for one call. Its token is repeated with every command of the call, and never used again.
 *
 * @param kind of what is taken, for telemetry, unless the call says so itself
 */
export function newAttempt(runtime: LockRuntime, call: ResolvedLockCall, kind: LockKind): Attempt {
  const { label, waitTimeoutMs } = call;
  const token = newToken();
  const owner = newOwner(token, runtime.mailbox, label);
  const now = runtime.clock.now();
  const waitUntil = waitTimeoutMs === 0 ? -Infinity : now + waitTimeoutMs;
  return { token, owner, waitUntil, story: runtime.telemetry.begin(call.kind ?? kind, call, now) };
}

/**
 * Brings one contender to what it wants, and watches over it from then on.
 *
 * @param hold makes what watches over it, where a plain {@link HeldLock} is not enough
 */
export function contend(
  runtime: LockRuntime,
  contender: Contender,
  attempt: Attempt,
  call: ResolvedLockCall,
): Promise<AcquireOutcome<HeldLock>>;
export function contend<L extends HeldLock>(
  runtime: LockRuntime,
  contender: Contender,
  attempt: Attempt,
  call: ResolvedLockCall,
  hold: (state: HeldLockState) => L,
): Promise<AcquireOutcome<L>>;
export async function contend(
  runtime: LockRuntime,
  contender: Contender,
  attempt: Attempt,
  call: ResolvedLockCall,
  hold?: (state: HeldLockState) => HeldLock,
): Promise<AcquireOutcome<HeldLock>> {
  const acquisition = new Acquisition(runtime, contender, attempt, call);
  const { token, story } = attempt;
  let granted: Granted | undefined;
  try {
    granted = await acquisition.run();
  } catch (error) {
    story.failed(error);
    throw error;
  }
  if (granted === undefined) {
    story.inVain();
    return { lock: undefined, key: contender.key, holder: acquisition.holder };
  }
  const { ttlMs, autoExtend } = call;
  const { fencingToken, validUntil, claimed } = granted;
  const { minHoldUntil, maxHoldUntil } = holdLimits(runtime, call);
  const parts = [contender];
  const state = { parts, token, fencingToken, ttlMs, validUntil, autoExtend, minHoldUntil, maxHoldUntil, story };
  const lock = hold === undefined ? new HeldLock(runtime, state) : hold(state);
  if (claimed) lock.confirm();
  return { lock };
}

/** The lock, if it is to be had in time. @throws LockTimeoutError otherwise */
export async function inTime<L>(
  { clock }: Pick<LockRuntime, 'clock'>,
  attempt: () => Promise<AcquireOutcome<L>>,
): Promise<L> {
  const startedAt = clock.now();
  const outcome = await attempt();
  if (!('key' in outcome)) return outcome.lock;
  throw new LockTimeoutError(outcome.key, Math.round(clock.now() - startedAt), outcome.holder);
}

/** From now, since that is when the caller learns that it holds the lock. */
export function holdLimits(
  { clock }: LockRuntime,
  { minHoldMs, maxHoldMs }: ResolvedLockCall,
): { readonly minHoldUntil: number; readonly maxHoldUntil: number } {
  return {
    minHoldUntil: minHoldMs === 0 ? -Infinity : clock.now() + minHoldMs,
    maxHoldUntil: maxHoldMs === Infinity ? Infinity : clock.now() + maxHoldMs,
  };
}
