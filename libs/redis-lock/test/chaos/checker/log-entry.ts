/**
 * What the processes under test and the one that disturbs them write to the witness, a Redis server that no fault touches.
 *
 * `lookedAt` is the moment that the entry speaks of, in ms on the monotonic clock of the machine, which all its processes share. `at` is when the
 * entry arrived, in µs on the witness' own clock, read in the command that appended it.
 */
export type LogEntry = { readonly at: number; readonly lookedAt: number } & Said;

/** What there is to say, before the witness has put its time to it. */
export type Said = HoldSaid | CallFailed | WorkerSaid | RedisForgot;

/** A holder speaks of its hold: it has entered, is still inside, has seen that the lock is lost, or leaves (and releases once this is written). */
export interface HoldSaid {
  readonly what: 'enter' | 'still' | 'lost' | 'exit';
  readonly worker: string;
  readonly key: string;
  /** Names one acquisition. */
  readonly hold: string;
  readonly fence: number;
  readonly ttlMs: number;
  /** Until when it holds the lock by its own account, without a further renewal; on the clock of `lookedAt`. */
  readonly heldUntil: number;
  /** Why it was lost. */
  readonly reason?: string;
  /** Of a loss: when the event loop of its holder stood still lately. */
  readonly pauses?: readonly Pause[];
}

/** From and to, on the clock of `lookedAt`. */
export type Pause = readonly [number, number];

/** An acquire, or the whole of a `withLock`, rejected. */
export interface CallFailed {
  readonly what: 'failed';
  readonly worker: string;
  readonly key: string;
  readonly code: string;
  readonly message: string;
}

/** Something was done to a process: written before it is killed, stopped or stalled, and after it goes on. */
export interface WorkerSaid {
  readonly what: 'killed' | 'froze' | 'thawed';
  readonly worker: string;
}

/** Redis lost its data, or may have lost what was written last, at some moment from `from` to `lookedAt`. */
export interface RedisForgot {
  readonly what: 'forgot' | 'may-have-forgotten';
  readonly from: number;
}

/** The monotonic clock that every process of a machine shares, in ms. */
export function machineNow(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000;
}
