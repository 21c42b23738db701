import type { Cancel, Clock } from '@redstart/redis-core';
import { EntryQueue } from './entry-queue.js';
import type { HeldEntry } from './held-entry.js';
import { KeyLanes } from './key-lanes.js';
import type { Source } from './source.js';
import { WaitingSuspects, type TrialGate } from './trials.js';

/**
 * The entries of one consumer that have not begun.
 *
 * An entry is *queued* for a slot, first come, first served. Of a partition it is *aside* while another one of its key goes before it; *stalled* while its partition is paused; and *blocked*, and its key with it, when it has failed and waits here
 * for its next attempt. From each of these it comes back into the queue. A *suspect*, which may kill its consumers, waits for the gate of the process before it may begin, and goes before what is queued.
 */
export class WaitingEntries {
  readonly #clock: Clock;
  readonly #queue = new EntryQueue();
  readonly #lanes = new KeyLanes<HeldEntry>();
  readonly #stalledSources = new Set<Source>();
  readonly #stalled: HeldEntry[] = [];
  /** Each with what calls its next attempt off. */
  readonly #blocked = new Map<HeldEntry, Cancel>();

  readonly #suspects: WaitingSuspects;

  /** @param opened told when a suspect may go */
  constructor(clock: Clock, trials: TrialGate, opened: () => void) {
    this.#clock = clock;
    this.#suspects = new WaitingSuspects(trials, opened);
  }

  /** How many no slot could be given to: they wait for others of their key, for their time, or for the end of a pause. */
  get aside(): number {
    return this.#lanes.size + this.#blocked.size + this.#stalled.length;
  }

  /** How many wait for the trial of another one. */
  get suspects(): number {
    return this.#suspects.size;
  }

  add(entries: readonly HeldEntry[]): void {
    for (const entry of entries) {
      if (this.#lanes.admit(entry)) this.#queue.push(entry);
    }
  }

  /** The next one that may begin. */
  next(): HeldEntry | undefined {
    const following = () => this.#suspects.next() ?? this.#queue.shift();
    for (let entry = following(); entry !== undefined; entry = following()) {
      if (this.#stalledSources.has(entry.source)) this.#stalled.push(entry);
      else if (this.#suspects.admit(entry)) return entry;
    }
    return undefined;
  }

  /** An entry has left: the next one of its key may go. @returns whether there is one */
  left(entry: HeldEntry): boolean {
    const next = this.#lanes.next(entry);
    if (next !== undefined) this.#queue.push(next);
    return next !== undefined;
  }

  /** Keeps an entry until its next attempt. @param prepare comes before it @param ready told when it is queued again */
  block(entry: HeldEntry, delayMs: number, prepare: () => Promise<void>, ready: () => void): void {
    const cancel = this.#clock.after(delayMs, () => {
      void prepare().then(() => {
        if (!this.#blocked.delete(entry)) return;
        this.#queue.push(entry);
        ready();
      });
    });
    this.#blocked.set(entry, cancel);
  }

  /** Lets nothing of some streams begin, or lets it begin again. */
  stall(sources: readonly Source[], stalled: boolean): void {
    for (const source of sources) {
      if (stalled) this.#stalledSources.add(source);
      else this.#stalledSources.delete(source);
    }
    if (!stalled) for (const entry of this.#stalled.splice(0)) this.#queue.push(entry);
  }

  /** Takes out those that are queued, or suspects, and that a condition holds for. */
  takeQueued(condition: (entry: HeldEntry) => boolean): HeldEntry[] {
    return [...this.#suspects.take(condition), ...this.#queue.take(condition)];
  }

  /** Takes out all that a condition holds for. */
  take(condition: (entry: HeldEntry) => boolean): HeldEntry[] {
    // Those behind others first: nobody is to follow one that goes.
    const aside = this.#lanes.take(condition);
    const blocked = [...this.#blocked.keys()].filter(condition);
    for (const entry of blocked) {
      this.#blocked.get(entry)?.();
      this.#blocked.delete(entry);
    }
    const stalled = this.#stalled.filter(condition);
    for (const entry of stalled) this.#stalled.splice(this.#stalled.indexOf(entry), 1);
    return [...aside, ...blocked, ...stalled, ...this.takeQueued(condition)];
  }
}
