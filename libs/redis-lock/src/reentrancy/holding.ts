import type { Lock } from '../lock.js';
import type { LockLostError } from '../lock.errors.js';

/** What work runs under: a lock, or the use of one that was held already. */
export interface Holding extends Lock {
  /** Of several, the first: for errors. */
  readonly key: string;
  /** Why it was lost, if it was. */
  readonly loss: LockLostError | undefined;
  readonly isReleased: boolean;
  /** This, or what it was converted into. */
  readonly current: Holding;
  /** The same, once a conversion that is under way has ended. */
  latest(): Promise<Holding>;
  /** The lease that an extension gives it. */
  readonly ttlMs: number;
}
