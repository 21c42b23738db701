import type { Lease } from './lease.js';
import type { LockStory } from './telemetry/lock-story.js';

/** What a lock is from the start. */
export interface HeldLockState {
  /** What it consists of: one, or all of a multi-lock. They are held together or not at all. */
  readonly parts: readonly Lease[];
  /** The Redis keys that are locked, where a part stands for several. @default the key of each part */
  readonly keys?: readonly string[];
  readonly token: string;
  readonly fencingToken: number;
  readonly ttlMs: number;
  readonly validUntil: number;
  readonly autoExtend: boolean;
  /** On the runtime's clock: a release or a loss before this leaves it taken until then. */
  readonly minHoldUntil: number;
  /** On the runtime's clock: lost at this moment, whatever is confirmed. */
  readonly maxHoldUntil: number;
  /** What becomes of it, for telemetry. */
  readonly story: LockStory;
}
