import type { Delivery } from '../scripts/claim.js';
import { Batch, BatchCollector } from './batch.js';
import type { ConsumerTelemetry } from '../telemetry/consumer-telemetry.js';
import type { DeadLetterListener } from './dead-letter-listener.js';
import type { GroupMember } from './group.js';
import { HandlerSlots } from './handler-slots.js';
import { HeldEntries } from './held-entries.js';
import type { HeldEntry } from './held-entry.js';
import type { MessageHandling } from './message-handling.js';
import { ReadAhead } from './read-ahead.js';
import type { Reporter } from './reporter.js';
import { Settlement } from './settlement.js';
import type { Source } from './source.js';
import { StandingWatch } from './standing-watch.js';
import { isSuspect } from './trials.js';
import { interrupted, isPostponed, type Postponed, type Verdict } from './verdict.js';
import { Waiters } from './waiters.js';
import { WaitingEntries } from './waiting-entries.js';

/** How long handlers may take to end after their signal has aborted at shutdown. */
const graceMs = 1_000;

/**
 * Runs the handlers of one consumer, at most `concurrency` at a time, and settles every entry exactly as its handler ended.
 *
 * An entry is *waiting* when it has been accepted and all slots are taken; it gets the first free one. One for a batch handler is *gathered* then, its slot is free again, and its batch takes
 * one when it is ready. It is *running* while its handler is. Then its slot is free, and it is *settling*: acknowledged, scheduled for another attempt or moved to the dead letters, repeated until Redis has answered. All the while it counts as held.
 * A *lost* entry is only acknowledged, if its handler succeeds all the same.
 *
 * The reader asks for more when less than half of `prefetch` is waiting, or a slot is free, and for as much as fits; so at most `concurrency` + `prefetch` entries wait or run, beside
 * those that the reaper took over meanwhile, which never asks for more than slots are free.
 *
 * What has waited for a whole renewal period is given back, for others to take: it would stand behind handlers that take long.
 *
 * `close` gives the waiting ones back, and resolves when the running ones have settled. When the deadline has passed their signals abort; those that end upon that go back as if they had not begun, and what the others do afterwards is ignored.
 */
export class Dispatcher {
  readonly held: HeldEntries;
  readonly #member: GroupMember;
  readonly #slots: HandlerSlots;
  readonly #settlement: Settlement;
  readonly #listener: DeadLetterListener | undefined;
  readonly #waiting: WaitingEntries;
  readonly #collector: BatchCollector;
  readonly #telemetry: ConsumerTelemetry;
  /** Batches that wait for a slot. */
  readonly #ready: Batch[] = [];
  readonly #ahead: ReadAhead;
  /** Entries that have ended, and Redis does not know yet. */
  #settling = 0;
  readonly #abandoned = new AbortController();
  #closed = false;
  /** They go to another consumer, in order. */
  readonly #revoked = new Set<Source>();
  #filling = false;
  readonly #waiters: Waiters;

  constructor(
    member: GroupMember,
    handling: MessageHandling,
    telemetry: ConsumerTelemetry,
    reporter: Reporter,
    listener: DeadLetterListener | undefined,
    largestBatch: number,
  ) {
    this.#listener = listener;
    if (listener !== undefined) {
      listener.onIdle = () => {
        this.#waiters.notify();
      };
    }
    this.#member = member;
    this.#waiting = new WaitingEntries(member.connection.clock, member.trials, this.#fill);
    this.#waiters = new Waiters(member.connection.clock);
    this.#telemetry = telemetry;
    const watch = new StandingWatch(member, telemetry, reporter);
    const { concurrency, prefetch } = member.consumer;
    this.#ahead = new ReadAhead(concurrency, concurrency * largestBatch, prefetch);
    this.#collector = new BatchCollector(member.connection.clock, (batch) => {
      this.#ready.push(batch);
      this.#fill();
    });
    this.#slots = new HandlerSlots(member, handling, reporter, {
      ended: this.#conclude,
      collected: (handler, item) => {
        if (this.#closed) this.#drop(item.entry);
        else if (isSuspect(item.entry)) this.#ready.push(new Batch(handler, [item]));
        else this.#collector.add(handler, item);
      },
      dropped: this.#drop,
      freed: (entries) => {
        this.#ahead.restore(entries);
        this.#fill();
        this.#waiters.notify();
      },
    });
    this.held = new HeldEntries(member, telemetry, this.#ahead, () => {
      this.#giveBackStranded();
      watch.tellOfSlow(this.held.running);
      watch.tellOfSetAside(this.#waiting.aside);
    });
    this.#settlement = new Settlement(
      member,
      telemetry,
      reporter,
      this.#abandoned.signal,
      (entry) => {
        this.#settling -= 1;
        this.#letGo(entry);
        this.#waiters.notify();
      },
      this.#leaves,
      listener?.tell,
    );
  }

  /** How many entries are here for their handlers: waiting, gathered in batches, or running. */
  get #here(): number {
    return this.held.size - this.#settling - this.#waiting.aside;
  }

  /** How many further entries could start at once. */
  get free(): number {
    return this.#closed ? 0 : Math.max(0, this.#ahead.room - this.#here);
  }

  /** The same for those that were delivered here and never arrived. What is new waits for them, so suspects that wait for each other, up to as many as there are slots, are not to keep them from coming. */
  get freeToResume(): number {
    const { room } = this.#ahead;
    return this.#closed ? 0 : Math.max(0, room - this.#here + Math.min(room, this.#waiting.suspects));
  }

  /**
   * How many entries the reader should ask for; 0 while enough of them are here.
   * @param arriving so many more are about to be accepted
   */
  wanted(arriving = 0): number {
    if (this.#closed || this.freeBytes <= 0) return 0;
    // Suspects that wait for each other are not to keep what is new from coming.
    const here = this.#here - this.#waiting.suspects + arriving;
    return this.#ahead.wanted({ here, settling: this.#settling, aside: this.#waiting.aside });
  }

  /** How many bytes further entries may take. One entry may always come when nothing is here. */
  get freeBytes(): number {
    return this.#member.options.maxHeldBytes - this.held.bytes;
  }

  /** Resolves when there is room again, as the condition says, and at the latest when the signal aborts. */
  when(condition: () => boolean, signal: AbortSignal): Promise<void> {
    return this.#waiters.when(condition, signal);
  }

  /** Takes entries that Redis has given to this consumer. One that is held already is left alone. @param askedAt by the local clock, when they were asked for */
  accept(source: Source, deliveries: readonly Delivery[], askedAt: number): void {
    if (this.#closed) return;
    this.#waiting.add(this.held.hold(source, deliveries, askedAt));
    this.#fill();
    this.#waiters.notify(); // Suspects among them have stepped aside.
  }

  /** Lets nothing of some streams begin, or lets it begin again. */
  stall(sources: readonly Source[], stalled: boolean): void {
    this.#waiting.stall(sources, stalled);
    this.#fill();
  }

  /** Gives back what waits in some streams: for others, who may have slots. */
  async giveBackWaiting(sources: readonly Source[]): Promise<void> {
    await this.#giveBack(this.#takeWaiting(({ source }) => sources.includes(source)));
  }

  /** Resolves when nothing of some streams is here any more: what waits is given back, what runs is waited for. Their signals abort after the deadline, and that is waited for as well. */
  async revoke(sources: readonly Source[], deadlineMs: number): Promise<void> {
    for (const source of sources) this.#revoked.add(source);
    await this.giveBackWaiting(sources);
    const gone = () => sources.every(({ held }) => held.size === 0);
    await this.#waiters.within(deadlineMs, gone);
    this.#interrupt(new Error('The partition goes to another consumer.'), ({ source }) => sources.includes(source));
    await this.#waiters.when(gone, this.#abandoned.signal);
    for (const source of sources) this.#revoked.delete(source);
  }

  /** Some streams are another's by now: what waits is dropped, and the signals of what runs abort. */
  abandon(sources: readonly Source[]): void {
    this.#takeWaiting(({ source }) => sources.includes(source)).forEach(this.#drop);
    this.#ahead.suspend();
    const reason = new Error('The partition belongs to this consumer no more.');
    for (const entry of sources.flatMap(({ held }) => [...held.values()])) {
      if (entry.ended) continue;
      if (entry.trimmed) entry.interrupt(reason);
      else entry.lose(reason);
    }
  }

  /** @returns the entries whose handlers are still running */
  async close(deadlineMs: number): Promise<HeldEntry[]> {
    this.#closed = true;
    void this.#giveBack(this.#takeWaiting(() => true));
    await this.#waiters.within(deadlineMs, () => this.held.size === 0 && this.#listener?.idle !== false);
    this.#interrupt(new Error('The application is shutting down.'), () => true);
    if (this.#slots.taken > 0) await this.#waiters.within(graceMs, () => this.held.size === 0);
    this.#abandoned.abort();
    return this.held.abandon();
  }

  #interrupt(reason: Error, condition: (entry: HeldEntry) => boolean): void {
    for (const entry of this.held.running.filter(condition)) entry.interrupt(reason);
    this.#slots.abortBatches(reason, condition);
  }

  /** Takes what has not begun: it waits for a slot, for its batch, for its key or for its next attempt. */
  #takeWaiting(condition: (entry: HeldEntry) => boolean): HeldEntry[] {
    const ready = this.#ready.filter((batch) => batch.items.every(({ entry }) => condition(entry)));
    for (const batch of ready) this.#ready.splice(this.#ready.indexOf(batch), 1);
    const batched = [...ready.flatMap(({ items }) => items), ...this.#collector.take(condition)];
    return [...this.#waiting.take(condition), ...batched.map(({ entry }) => entry)];
  }

  /** It stays pending, and comes to others. What was trimmed is pending no more, and has to be sent again. */
  readonly #drop = (entry: HeldEntry): void => {
    if (entry.trimmed) this.#end(entry, interrupted);
    else this.#letGo(entry);
  };

  async #giveBack(entries: readonly HeldEntry[]): Promise<void> {
    for (const entry of entries) entry.ended = true;
    this.#settling += entries.length;
    await this.#settlement.giveBack(entries);
  }

  /** What has waited for a whole period stands behind handlers that take long: others may have slots free. */
  #giveBackStranded(): void {
    const { connection, consumer, options } = this.#member;
    // Of a partition nobody else could take it.
    if (consumer.stream.partitions !== undefined) return;
    const until = connection.clock.now() - options.renewEveryMs;
    const stranded = this.#waiting.takeQueued(({ heldSince }) => heldSince <= until);
    if (stranded.length === 0) return;
    this.#ahead.suspend();
    void this.#giveBack(stranded);
  }

  readonly #fill = (): void => {
    // An entry may settle at once, which fills again: a loop of it instead of a recursion.
    if (this.#filling || this.#closed) return;
    this.#filling = true;
    while (this.#slots.anyFree) {
      const batch = this.#ready.shift();
      const entry = batch === undefined ? this.#waiting.next() : undefined;
      if (batch !== undefined) this.#slots.beginBatch(batch);
      else if (entry === undefined) break;
      // Taken over while it waited for a slot: the new owner handles it.
      else if (entry.lost || !entry.source.holds()) this.#drop(entry);
      else this.#slots.begin(entry);
    }
    this.#filling = false;
  };

  readonly #conclude = (entry: HeldEntry, verdict: Verdict): void => {
    if (!this.#blocks(entry, verdict)) this.#end(entry, verdict);
    // Others of its key must not overtake it on its way to the next owner.
    else if (entry.lost || this.#leaves(entry)) this.#end(entry, interrupted);
    else this.#block(entry, verdict);
  };

  /** Whether it is about to go to another consumer, and nothing begins behind it here. */
  readonly #leaves = ({ source }: HeldEntry): boolean => this.#closed || this.#revoked.has(source);

  #end(entry: HeldEntry, verdict: Verdict): void {
    entry.ended = true;
    entry.running = false;
    this.#settling += 1;
    this.#settlement.settle(entry, verdict);
  }

  /** Whether the messages behind this one wait until it has succeeded, or is given up. */
  #blocks(entry: HeldEntry, verdict: Verdict): verdict is Postponed {
    return isPostponed(verdict) && entry.laneId !== undefined && this.#member.consumer.onFailure === 'block-key';
  }

  /** It stays here, and its key with it, until its next attempt. */
  #block(entry: HeldEntry, verdict: Postponed): void {
    entry.running = false;
    if (verdict.kind === 'retry') {
      entry.failures += 1;
      this.#telemetry.retried(entry);
    }
    // Its own note would keep it from beginning.
    const prepare = () => this.#settlement.free(entry);
    this.#waiting.block(entry, verdict.delayMs, prepare, this.#fill);
  }

  /** It is here no more: the next one of its key may go. */
  readonly #letGo = (entry: HeldEntry): void => {
    this.held.release(entry);
    if (this.#waiting.left(entry)) this.#fill();
  };
}
