import { setImmediate as nextTurn } from 'node:timers/promises';
import { RedisCommandError } from '@redstart/redis-core';
import type { Delivery } from '../scripts/claim.js';
import { deadLetterScript } from '../scripts/dead-letter.js';
import { Acknowledger } from './acknowledger.js';
import type { ConsumerCounters } from './counters.js';
import { deadLetterFields, type DeadLetterCause } from './dead-letter.js';
import { backgroundCall, type GroupMember } from './group.js';
import { HeldEntries, type HeldEntry } from './held-entries.js';
import type { MessageHandling, Verdict } from './message-handling.js';
import { backoffMs, pause } from './pause.js';
import type { Reporter } from './reporter.js';

/**
 * Runs the handlers of one consumer, at most `concurrency` at a time, and settles every entry exactly as its handler ended.
 *
 * An entry is *waiting* when it has been accepted and all slots are taken; it gets the first free one. It is *running* while its handler is. Then it is *settling*:
 * acknowledged after success, moved to the dead letters when it is given up, both repeated until Redis has answered; or it is *parked*, left pending without being
 * renewed, so that it is delivered again after minIdle. All the while it counts as held: its slot is not given away before Redis knows.
 * A *lost* entry is only acknowledged, if its handler succeeds all the same.
 *
 * `close` lets the waiting ones go (they stay pending), and resolves when the running ones have settled, or when the deadline has passed: then
 * their signals abort, and what they do afterwards is ignored.
 *
 * The reader asks for as many entries as slots are free, and the reaper may claim as many meanwhile; so up to twice `concurrency` are held, and never more
 * than `concurrency` handlers run.
 */
export class Dispatcher {
  readonly held: HeldEntries;
  readonly #member: GroupMember;
  readonly #handling: MessageHandling;
  readonly #counters: ConsumerCounters;
  readonly #reporter: Reporter;
  readonly #acknowledger: Acknowledger;
  readonly #waiting: HeldEntry[] = [];
  /** Failed here a moment ago, by the local clock: pending under our name on purpose, so not to be mistaken for lost deliveries. */
  readonly #parked = new Map<string, number>();
  readonly #abandoned = new AbortController();
  #running = 0;
  #closed = false;
  #wake: (() => void)[] = [];

  constructor(member: GroupMember, handling: MessageHandling, counters: ConsumerCounters, reporter: Reporter) {
    this.#member = member;
    this.#handling = handling;
    this.#counters = counters;
    this.#reporter = reporter;
    this.#acknowledger = new Acknowledger(member);
    this.held = new HeldEntries(member, () => {
      counters.lost += 1;
    });
  }

  /** How many further entries could start at once. */
  get free(): number {
    return this.#closed ? 0 : Math.max(0, this.#member.consumer.concurrency - this.held.size);
  }

  /** The pending entries that this consumer knows of: held, or parked less than minIdle ago. */
  get knownIds(): string[] {
    const { connection, options } = this.#member;
    const parkedAfter = connection.clock.now() - options.minIdleMs;
    for (const [id, parkedAt] of this.#parked) {
      if (parkedAt < parkedAfter) this.#parked.delete(id);
    }
    return [...this.held.ids, ...this.#parked.keys()];
  }

  /** Resolves when a slot is free, and at the latest when the signal aborts. */
  async whenFree(signal: AbortSignal): Promise<void> {
    while (this.free === 0 && !signal.aborted) {
      await this.#change(signal);
      // Those that were acknowledged together free their slots together: one read for all of them instead of one each.
      await nextTurn();
    }
  }

  /** Takes entries that Redis has given to this consumer. One that is held already is left alone. */
  accept(deliveries: readonly Delivery[]): void {
    for (const delivery of deliveries) {
      if (this.#closed || this.held.has(delivery.id)) continue;
      this.#parked.delete(delivery.id);
      this.#waiting.push(this.held.hold(delivery));
    }
    this.#fill();
  }

  /** @returns the entries whose handlers were still running at the deadline */
  async close(deadlineMs: number): Promise<string[]> {
    this.#closed = true;
    for (const entry of this.#waiting.splice(0)) this.held.release(entry);
    const deadline = new AbortController();
    const cancel = this.#member.connection.clock.after(deadlineMs, () => {
      deadline.abort();
    });
    while (this.#running > 0 && !deadline.signal.aborted) await this.#change(deadline.signal);
    cancel();
    this.#abandoned.abort();
    const unfinished = this.held.entries;
    for (const entry of unfinished) {
      this.held.release(entry);
      entry.abort.abort(new Error('The application is shutting down.'));
    }
    return unfinished.map(({ delivery }) => delivery.id);
  }

  #fill(): void {
    while (this.#running < this.#member.consumer.concurrency) {
      const entry = this.#waiting.shift();
      if (entry === undefined) return;
      this.#running += 1;
      void this.#process(entry).finally(() => {
        this.#running -= 1;
        this.held.release(entry);
        this.#fill();
        for (const wake of this.#wake.splice(0)) wake();
      });
    }
  }

  /** Never rejects: whatever goes wrong leaves the entry pending, and it is delivered again. */
  async #process(entry: HeldEntry): Promise<void> {
    try {
      // Taken over while it waited for a slot: the new owner handles it.
      if (entry.lost) return;
      await this.#settle(entry, await this.#handling.handle(entry.delivery, entry.abort.signal));
    } catch (error) {
      this.#reporter.error(`settling the entry ${entry.delivery.id}`, error);
    }
  }

  async #settle(entry: HeldEntry, verdict: Verdict): Promise<void> {
    const { id } = entry.delivery;
    switch (verdict.kind) {
      case 'handled':
      case 'unhandled':
        if (await this.#untilAnswered(entry, () => this.#acknowledger.acknowledge(id)))
          this.#counters[verdict.kind] += 1;
        return;
      case 'failed':
        this.#counters.failed += 1;
        this.#parked.set(id, this.#member.connection.clock.now());
        return;
      case 'dead':
        if (entry.lost) return;
        await this.#untilAnswered(entry, async () => {
          if (await this.#deadLetter(entry.delivery, verdict.cause)) this.#counters.deadLettered += 1;
        });
    }
  }

  #deadLetter(delivery: Delivery, cause: DeadLetterCause): Promise<boolean> {
    const { connection, keys, consumer, name, options } = this.#member;
    return connection.scripts.run(
      backgroundCall(this.#member, 'deadLetter'),
      deadLetterScript,
      [keys.stream, keys.deadLetters(consumer.group)],
      [
        consumer.group,
        name,
        delivery.id,
        options.deadLettersMaxLen,
        ...deadLetterFields(this.#member, delivery, cause),
      ],
    );
  }

  /** Repeats what settles an entry through an outage. @returns false when it was given up, which leaves the entry pending */
  async #untilAnswered(entry: HeldEntry, attempt: () => Promise<void>): Promise<boolean> {
    for (let failures = 1; ; failures += 1) {
      try {
        await attempt();
        return true;
      } catch (error) {
        this.#reporter.error(`settling the entry ${entry.delivery.id}`, error);
        // An answer that no repetition changes; and nobody waits for the outcome once the entry is another's.
        if (error instanceof RedisCommandError || entry.lost || this.#abandoned.signal.aborted) return false;
      }
      await pause(this.#member.connection.clock, backoffMs(failures), this.#abandoned.signal);
    }
  }

  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.#wake.push(done);
      signal.addEventListener('abort', done);
    });
  }
}
