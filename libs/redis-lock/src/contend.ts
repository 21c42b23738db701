import { HeldLock } from './held-lock.js';
import type { HeldLockState } from './held-lock-state.js';
import type { AcquireOutcome, Contender } from './lease.js';
import type { LockRuntime } from './lock-runtime.js';
import { LockTimeoutError } from './lock.errors.js';
import type { ResolvedLockCall } from './lock.options.js';
import { newOwner, newToken } from './owner.js';
import type { LockKind } from './telemetry/lock-events.js';
import type { LockStory } from './telemetry/lock-story.js';
import { Acquisition, type AcquisitionResult } from './waiting/acquisition.js';

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
  { token, waitUntil, story }: Attempt,
  call: ResolvedLockCall,
  hold = (state: HeldLockState) => new HeldLock(runtime, state),
): Promise<AcquireOutcome<HeldLock>> {
  const { ttlMs, autoExtend, signal } = call;
  let result: AcquisitionResult;
  try {
    result = await new Acquisition(runtime, contender, { ttlMs, waitUntil, signal, story }).run();
  } catch (error) {
    story.failed(error);
    throw error;
  }
  if (result.granted === undefined) {
    story.inVain();
    return { lock: undefined, key: contender.key, holder: result.holder };
  }
  const { fencingToken, validUntil, claimed } = result.granted;
  const lock = hold({
    parts: [contender],
    token,
    fencingToken,
    ttlMs,
    validUntil,
    autoExtend,
    story,
    ...holdLimits(runtime, call),
  });
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
  const now = clock.now();
  return { minHoldUntil: minHoldMs === 0 ? -Infinity : now + minHoldMs, maxHoldUntil: now + maxHoldMs };
}
