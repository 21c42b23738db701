import { abortOf, type Effect, type KeyRun, type Line } from './line.js';

export interface Published {
  /** When the call of `publish` that resolved began: whatever Redis lost before is not to blame. */
  readonly startedAt: number;
  readonly at: number;
  readonly effect: Effect | undefined;
  /** When it may be handled at the earliest. */
  readonly dueAt: number | undefined;
}

export interface Handling {
  readonly by: string;
  readonly begunAt: number;
  readonly at: number;
}

/** What a member told of a message of a partition: that it begins, or that it has handled it. */
export interface Run extends KeyRun {
  readonly what: 'begun' | 'handled';
  readonly message: string;
  readonly by: string;
  readonly at: number;
}

/** A time in which a member stood still, or heard nothing of Redis. */
export interface Stall {
  readonly by: string;
  readonly from: number;
  readonly at: number;
}

/** What the ledger tells of the messages of one wave, by their names. */
export class WaveRecord {
  readonly published = new Map<string, Published>();
  /** How many publications took more than one call. */
  repeated = 0;
  readonly unknown = new Set<string>();
  readonly notExecuted = new Set<string>();
  readonly failed: string[] = [];
  readonly handled = new Map<string, Handling[]>();
  /** What is published, and no handling was told of yet: all else need not be looked through again and again. */
  readonly unhandled = new Map<string, Published>();
  /** How many handlings were told that their entry is another's, by the name of the member; and which ones, by {@link abortOf}. */
  readonly aborted = new Map<string, number>();
  /** What was told of the partitions, in the order of the telling: nobody begins what comes next before this was written. */
  readonly runs: Run[] = [];
  readonly stalls: Stall[] = [];
  readonly cutOffs: Stall[] = [];
  #lines = 0;

  /** How many lines it was made of, without those of stalls and of members that were cut off. */
  get lines(): number {
    return this.#lines;
  }

  /** When the first of the messages was handled whose publication began after a moment. */
  firstHandledOf(publishedAfter: number): number | undefined {
    let first: number | undefined;
    for (const [message, { startedAt }] of this.published) {
      const at = startedAt > publishedAfter ? this.handled.get(message)?.[0]?.at : undefined;
      // Earlier, when it was added by a call whose outcome its publisher did not learn.
      if (at !== undefined && at > publishedAfter && (first === undefined || at < first)) first = at;
    }
    return first;
  }

  add(lines: readonly Line[]): void {
    for (const line of lines) {
      if (line.what !== 'stalled' && line.what !== 'cut off') this.#lines += 1;
      switch (line.what) {
        case 'published':
          this.#addPublication(line);
          break;
        case 'rejected':
          (line.outcome === 'unknown' ? this.unknown : this.notExecuted).add(line.message);
          break;
        case 'failed':
          this.failed.push(`publish of ${line.message} failed: ${line.error}`);
          break;
        case 'handled':
          this.#addHandling(line);
          this.#addRun(line);
          break;
        case 'begun':
          this.#addRun(line);
          break;
        case 'stalled':
          this.stalls.push(line);
          break;
        case 'cut off':
          this.cutOffs.push(line);
          break;
        case 'aborted':
          for (const name of [line.by, abortOf(line)]) this.aborted.set(name, (this.aborted.get(name) ?? 0) + 1);
      }
    }
  }

  #addPublication({ message, attempt, startedAt, at, effect, dueAt }: Line & { readonly what: 'published' }): void {
    const publication = { startedAt, at, effect, dueAt };
    this.published.set(message, publication);
    if (!this.handled.has(message)) this.unhandled.set(message, publication);
    if (attempt > 1) this.repeated += 1;
  }

  #addHandling({ message, by, begunAt, at }: Line & { readonly what: 'handled' }): void {
    this.unhandled.delete(message);
    const handlings = this.handled.get(message);
    if (handlings === undefined) this.handled.set(message, [{ by, begunAt, at }]);
    else handlings.push({ by, begunAt, at });
  }

  #addRun({ what, message, by, at, run }: Line & { readonly what: Run['what'] }): void {
    if (run !== undefined) this.runs.push({ what, message, by, at, ...run });
  }
}
