import { setImmediate as nextTurn } from 'node:timers/promises';
import { backoffMs, pause } from '../pause.js';
import { Arrival } from './arrival.js';
import type { Demand } from './demand.js';
import type { PartReading } from './part-reading.js';
import type { PauseWatch } from './pause-watch.js';
import { Preparation } from './preparation.js';
import { ReadConnection, type ReaderContext } from './read-connection.js';
import { planRead, type ReadPlan } from './read-plan.js';
import { isTroubleOfStream } from './read-reply.js';
import type { StreamReply } from './read-size.js';

/** From so many entries on the next read is begun before they are handled. */
const smallestOverlap = 16;
/** How often it is looked whether a right that did not last does again. */
const rightCheckMs = 100;

export interface SessionListener {
  /** A read succeeded. */
  readonly onRead: () => void;
  /** A read was refused because of one of its streams. */
  readonly onRefused: (error: unknown) => void;
}

interface SentRead {
  readonly plan: ReadPlan<PartReading>;
  readonly replies: Promise<StreamReply[]>;
  /** By the local clock. */
  readonly at: number;
}

/**
 * What a reader does with one connection.
 *
 * Its parts are *prepared*, each by itself, and then read together: whenever somebody wants entries, one read asks for them, and waits up to `block` for the first. When somebody begins to want something while a read is blocked
 * without him, the server is asked to end it, and the next one includes him; and when a read may not go on for somebody (the group is paused there, the part leaves), it is ended likewise. That is an answer, and nothing that was delivered
 * gets lost. When a read is refused because of one of the streams, its parts are prepared anew, over the same connection.
 */
export class ReadSession {
  readonly #context: ReaderContext;
  readonly #pauses: PauseWatch;
  readonly #parts = new Map<PartReading, Preparation>();
  readonly #connection: ReadConnection;
  readonly #listener: SessionListener;
  readonly #over = new AbortController();
  #failure: Error | undefined;
  /** Who is waited for, to want something or to be allowed it. */
  readonly #awaited = new Set<Demand | PartReading>();
  #wake: () => void = () => undefined;
  #caughtUp = false;
  /** Among how many consumers the last reply that had something was divided. */
  #sharers = 1;
  /** Reads that were refused, one after the other. */
  #refusals = 0;

  readonly #uncertain: () => boolean;

  /** @param uncertain whether a read of an earlier connection may be carried out late */
  constructor(
    context: ReaderContext,
    pauses: PauseWatch,
    parts: readonly PartReading[],
    uncertain: () => boolean,
    listener: SessionListener,
  ) {
    this.#uncertain = uncertain;
    this.#context = context;
    this.#pauses = pauses;
    this.#listener = listener;
    this.#connection = new ReadConnection(context, parts[0]?.sources[0]?.key, (failure) => {
      this.#failure ??= failure;
      this.#end();
    });
    for (const part of parts) this.add(part);
  }

  add(part: PartReading): void {
    part.close();
    this.#prepare(part);
  }

  remove(part: PartReading): void {
    this.#parts.get(part)?.abort();
    this.#parts.delete(part);
    this.interrupt(part);
    if (this.#parts.size === 0) this.#end();
  }

  /** Prepares a part anew that is being read: once what is under way of it has arrived. */
  refresh(part: PartReading): void {
    if (part.readable.length === 0 || !this.#parts.has(part)) return;
    part.close();
    this.interrupt(part);
    this.#prepare(part, [], part.whenQuiet());
  }

  /** Ends a read of the part that is under way. */
  interrupt(part: PartReading): void {
    this.#connection.interrupt(part);
  }

  /** Sees to it that the part is read when it may be, and its consumer wants something. */
  consider(part: PartReading): void {
    if (!part.open || !this.#parts.has(part)) return;
    if (!part.demand.exists) this.#await(part.demand, part, (signal) => part.demand.when(signal));
    else if (!part.right.lasts()) this.#await(part, part, (signal) => this.#pause(rightCheckMs, signal));
    else this.#include(part);
  }

  /** Resolves when it has no parts any more; whatever else ends it is its rejection. */
  async run(): Promise<void> {
    let sent: SentRead | undefined;
    while ((sent ??= await this.#begin()) !== undefined) {
      const { plan, at } = sent;
      const replies = await this.#repliesOf(sent);
      sent = undefined;
      if (replies === undefined) continue;
      const arrival = new Arrival(plan, replies, at);
      this.#sharers = arrival.count() || this.#sharers;
      const next = this.#mayOverlap(arrival) ? this.#plan() : undefined;
      if (next !== undefined) {
        sent = this.#send(next);
        // Its failure is seen when its turn comes.
        sent.replies.catch(() => undefined);
        // What is written leaves at the end of a turn, and handlers that are quick would fill this one.
        await nextTurn();
      }
      await this.#complete(arrival);
      arrival.handOver();
      // Some of what came may have been there already: then there is room, and nothing that would tell of it.
      if (sent !== undefined) this.#considerOthers(sent.plan);
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Resolves when nothing goes on behind it any more. */
  async close(): Promise<void> {
    this.#end();
    this.#connection.close();
    for (const preparation of this.#parts.values()) preparation.abort();
    await Promise.all([...this.#parts.values()].map(({ ended }) => ended));
    for (const part of this.#parts.keys()) {
      part.close();
      part.demand.settle();
    }
  }

  /** Where that fails, nothing of partitions can be handed over: the next session takes it up. */
  async #complete(arrival: Arrival): Promise<void> {
    try {
      if (this.#failure === undefined) await arrival.complete(this.#context, this.#uncertain());
    } catch (error) {
      this.#failure ??= error instanceof Error ? error : new Error(String(error));
      this.#end();
      this.#connection.nudge();
    }
  }

  #end(): void {
    this.#over.abort();
    this.#wake();
  }

  #isOver(): boolean {
    return this.#over.signal.aborted;
  }

  /** @param known streams of the part in which everything that was delivered has arrived */
  #prepare(part: PartReading, known: PartReading['readable'] = [], quiet?: Promise<void>): void {
    const former = this.#parts.get(part);
    former?.abort();
    const preparation = new Preparation(this.#context, part, this.#pauses, () => {
      this.consider(part);
    });
    this.#parts.set(part, preparation);
    preparation.start(known, Promise.all([former?.ended, quiet]));
  }

  /** Waits until somebody wants something. @returns undefined when the session is over */
  async #begin(): Promise<SentRead | undefined> {
    while (!this.#isOver()) {
      if (this.#pauses.stale && this.#needsPauses()) await this.#pauses.look();
      let plan = this.#plan();
      if (plan?.leavesOut === true) {
        // Handlers that are quick are about to have room: it takes a turn until they are seen.
        await nextTurn();
        plan = this.#plan();
      }
      if (this.#isOver()) break;
      if (plan !== undefined) return this.#send(plan);
      await this.#sleep();
    }
    return undefined;
  }

  /** Also where nothing can be read yet because the group is paused: it may have gone on, unheard. */
  #needsPauses(): boolean {
    return [...this.#parts.keys()].some(({ paused, readable }) => paused || readable.length > 0);
  }

  #plan(): ReadPlan<PartReading> | undefined {
    const readable = [...this.#parts.keys()].filter((part) => part.open && part.right.lasts());
    return planRead(readable, this.#sharers, this.#caughtUp);
  }

  /** Whether the next read may be begun: everybody who was given something wants more, and nothing has to be asked before. */
  #mayOverlap(arrival: Arrival): boolean {
    return arrival.size >= smallestOverlap && arrival.leavesDemand && !this.#pauses.stale && !this.#isOver();
  }

  /** Until somebody may want something, and no longer than a pause may last unseen. */
  async #sleep(): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => {
      woken.abort();
    };
    for (const part of this.#parts.keys()) this.consider(part);
    if (!this.#isOver()) await this.#pause(this.#context.options.blockMs, woken.signal);
    this.#wake = () => undefined;
  }

  #pause(ms: number, signal: AbortSignal): Promise<void> {
    return pause(this.#context.connection.clock, ms, signal);
  }

  /** Looks at the part again when something has happened. */
  #await(what: Demand | PartReading, part: PartReading, happens: (signal: AbortSignal) => Promise<void>): void {
    const signal = this.#parts.get(part)?.signal;
    if (signal === undefined || this.#awaited.has(what)) return;
    this.#awaited.add(what);
    void happens(signal).then(() => {
      this.#awaited.delete(what);
      if (this.#isOver()) return;
      for (const other of this.#parts.keys()) if (other === part || other.demand === what) this.consider(other);
    });
  }

  #include(part: PartReading): void {
    if (this.#connection.reads(part)) return;
    part.ask();
    if (this.#connection.reading) this.#connection.nudge();
    else this.#wake();
  }

  #send(plan: ReadPlan<PartReading>): SentRead {
    this.#caughtUp = !plan.blocking;
    for (const part of plan.parts) part.begin();
    const at = this.#context.connection.clock.now();
    const replies = this.#connection.send(plan);
    this.#considerOthers(plan);
    return { plan, replies, at };
  }

  /** Those that a read which may wait leaves out. */
  #considerOthers({ blocking, leavesOut, parts }: ReadPlan<PartReading>): void {
    if (!blocking || !leavesOut) return;
    for (const part of this.#parts.keys()) if (!parts.has(part)) this.consider(part);
  }

  /** @returns undefined when one of the streams could not be read */
  async #repliesOf({ plan, replies }: SentRead): Promise<StreamReply[] | undefined> {
    try {
      const found = await replies;
      this.#refusals = 0;
      this.#listener.onRead();
      return found;
    } catch (error) {
      for (const part of plan.parts) part.end(false);
      if (!isTroubleOfStream(error)) throw error;
      this.#listener.onRefused(error);
      await this.#prepareAgain(plan.parts);
      return undefined;
    }
  }

  async #prepareAgain(parts: Iterable<PartReading>): Promise<void> {
    for (const part of parts) {
      const known = part.readable;
      part.close();
      if (this.#parts.has(part)) this.#prepare(part, known);
    }
    // The first time at once: the others are not to wait for a stream that was deleted.
    if (this.#refusals > 0) await this.#pause(backoffMs(this.#refusals), this.#over.signal);
    this.#refusals += 1;
  }
}
