/**
 * What the processes under test write to the ledger, a Redis server that no fault touches. Times are ms on the monotonic clock of the machine, which all its processes
 * share.
 */
export type Line =
  /**
   * `publish` has resolved. `startedAt` is when the call that resolved began, `attempt` how many it took. `effect` tells what its handler promises beyond at least once, `dueAt` when it may be handled at
   * the earliest, where it was delayed.
   */
  | {
      readonly what: 'published';
      readonly message: string;
      readonly attempt: number;
      readonly startedAt: number;
      readonly at: number;
      readonly effect?: Effect | undefined;
      readonly dueAt?: number | undefined;
    }
  /** `publish` has rejected for good: a message without an id of its own is not repeated. */
  | {
      readonly what: 'rejected';
      readonly message: string;
      readonly outcome: 'unknown' | 'not-executed';
      readonly at: number;
    }
  /** `publish` has rejected in a way that no outage explains. */
  | { readonly what: 'failed'; readonly message: string; readonly error: string }
  /** The handler has done its work: this line is its effect, and it is written before the entry is acknowledged. `run` where the message is of a partition. */
  | {
      readonly what: 'handled';
      readonly message: string;
      readonly by: string;
      readonly begunAt: number;
      readonly at: number;
      readonly run?: KeyRun;
    }
  /** The handler of a message of a partition begins. */
  | {
      readonly what: 'begun';
      readonly message: string;
      readonly by: string;
      readonly at: number;
      readonly run: KeyRun;
    }
  /** The process stood still. */
  | { readonly what: 'stalled'; readonly by: string; readonly from: number; readonly at: number }
  /** No question of the process was answered by the Redis that is under fault. */
  | { readonly what: 'cut off'; readonly by: string; readonly from: number; readonly at: number }
  /** The handler was told that its entry is another's now. */
  | { readonly what: 'aborted'; readonly message: string; readonly by: string; readonly at: number };

/** Carried out in one step with the acknowledgement, or remembered under the id of the message. */
export type Effect = 'by commit' | 'by inbox';

/** One run of a handler for a message of a partition. */
export interface KeyRun {
  readonly key: string;
  /** Which message of its key it is, 1 for the first. */
  readonly number: number;
  /** The hash tag of its partition. */
  readonly partition: string;
  readonly begunAt: number;
}

/** The name under which it is noted that a member was told to leave a message to others. */
export function abortOf({ by, message }: { by: string; message: string }): string {
  return `${by} ${message}`;
}

/** The monotonic clock that every process of a machine shares, in ms. */
export function machineNow(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000;
}
