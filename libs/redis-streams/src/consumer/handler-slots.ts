import { AsyncResource } from 'node:async_hooks';
import type { Batch } from './batch.js';
import type { GroupMember } from './group.js';
import type { HeldEntry } from './held-entry.js';
import type { MessageHandling, RunListener } from './message-handling.js';
import type { Reporter } from './reporter.js';
import { beginTrial, isSuspect } from './trials.js';
import { interrupted, type Verdict } from './verdict.js';

export interface SlotListener {
  /** Told once of each run, before its slot is free. */
  readonly ended: (entry: HeldEntry, verdict: Verdict) => void;
  /** It is for a batch handler: its batch takes a slot when it is ready. */
  readonly collected: RunListener['collected'];
  /** Not begun: it is another consumer's by now. */
  readonly dropped: (entry: HeldEntry) => void;
  /** A slot is free again, after so many entries. */
  readonly freed: (entries: number) => void;
}

/** The slots of one consumer, `concurrency` of them: each is *free*, or *taken* by an entry, or a batch, from its beginning until its handler has ended or was given up. A suspect begins when its trial has been noted, and leaves the gate with its slot, or with that of its batch. */
export class HandlerSlots {
  readonly #member: GroupMember;
  readonly #reporter: Reporter;
  readonly #handling: MessageHandling;
  readonly #listener: SlotListener;
  readonly #batches = new Set<Batch>();
  #taken = 0;

  constructor(member: GroupMember, handling: MessageHandling, reporter: Reporter, listener: SlotListener) {
    this.#member = member;
    this.#reporter = reporter;
    this.#handling = handling;
    this.#listener = listener;
  }

  get taken(): number {
    return this.#taken;
  }

  get anyFree(): boolean {
    return this.#taken < this.#member.consumer.concurrency;
  }

  begin(entry: HeldEntry): void {
    this.#taken += 1;
    entry.running = true;
    entry.begin();
    // Of its own: what a handler enters into an AsyncLocalStorage must not reach the next one.
    new AsyncResource('REDSTART_STREAM_MESSAGE').runInAsyncScope(this.#run, undefined, entry);
  }

  beginBatch(batch: Batch): void {
    this.#taken += 1;
    const lost = batch.items.filter(({ entry }) => entry.lost || !entry.source.holds());
    for (const { entry } of lost) this.#listener.dropped(entry);
    const begun = batch.without(lost);
    if (begun.items.length === 0) {
      this.#free([]);
      return;
    }
    for (const { entry } of begun.items) entry.running = true;
    this.#batches.add(begun);
    new AsyncResource('REDSTART_STREAM_BATCH').runInAsyncScope(() => {
      this.#handling.runBatch(begun, (verdicts) => {
        if (!this.#batches.delete(begun)) return;
        for (const [entry, verdict] of verdicts) {
          if (!entry.ended) this.#listener.ended(entry, verdict);
        }
        this.#free([...verdicts.keys()]);
      });
    });
  }

  /** Aborts the signals of the batches that have one of these entries. */
  abortBatches(reason: Error, condition: (entry: HeldEntry) => boolean): void {
    for (const batch of this.#batches) {
      if (batch.items.some(({ entry }) => condition(entry))) batch.abort(reason);
    }
  }

  readonly #run = (entry: HeldEntry): void => {
    if (isSuspect(entry)) void this.#try(entry);
    else this.#handling.run(entry, this.#runs);
  };

  /** Never rejects. */
  async #try(entry: HeldEntry): Promise<void> {
    const begun = await beginTrial(this.#member, entry).catch((error: unknown) => {
      this.#reporter.error(`noting that the entry ${entry.id} is tried`, error);
      return false;
    });
    if (begun && !entry.ended) this.#handling.run(entry, this.#runs);
    else this.#runs.ended(entry, interrupted);
  }

  readonly #runs: RunListener = {
    ended: (entry, verdict) => {
      if (entry.ended) return;
      this.#listener.ended(entry, verdict);
      this.#free([entry]);
    },
    collected: (handler, item) => {
      item.entry.running = false;
      this.#listener.collected(handler, item);
      this.#free([], 1);
    },
  };

  /** @param gathered how many wait for the others of their batch */
  #free(ended: readonly HeldEntry[], gathered = 0): void {
    this.#taken -= 1;
    for (const entry of ended) this.#member.trials.leave(entry);
    this.#listener.freed(ended.length + gathered);
  }
}
