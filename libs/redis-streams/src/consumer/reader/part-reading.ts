import { StreamTypeError } from '../../streams.errors.js';
import type { Delivery } from '../../scripts/claim.js';
import type { ConsumerTelemetry } from '../../telemetry/consumer-telemetry.js';
import type { Dispatcher } from '../dispatcher.js';
import type { GroupMember } from '../group.js';
import type { Ownership } from '../partitions/ownership.js';
import type { Reporter } from '../reporter.js';
import type { Source } from '../source.js';
import { tellOfTrimmed } from '../trimmed.js';
import { Waiters } from '../waiters.js';
import type { Demand } from './demand.js';
import type { GroupReader } from './group-reader.js';
import type { WatchedPause } from './pause-watch.js';

/** What may be read. */
export interface ReadingRight {
  /** Set when nobody else reads these streams for the group: everything that is pending in them is ours to take up. */
  readonly ownership: Ownership | undefined;
  /** Whether what has been read may begin. */
  readonly holds: () => boolean;
  /** Whether a read may begin: it might last for `block`. */
  readonly lasts: () => boolean;
}

export interface PartReadingOptions {
  readonly member: GroupMember;
  readonly sources: readonly Source[];
  readonly dispatcher: Dispatcher;
  /** That of its consumer. */
  readonly demand: Demand;
  readonly paused: WatchedPause;
  readonly right: ReadingRight;
  readonly telemetry: ConsumerTelemetry;
  readonly reporter: Reporter;
}

/**
 * The reading of one part: a stream, or one partition, and the group's retry stream beside it. The reader of the group does it, together with that of others.
 *
 * From `start` to `stop` it takes part. In each session of the reader it is *prepared* first: its groups are created where they are missing, and what was delivered but never arrived is taken up. Then it is *readable*, as far as its
 * keys hold streams, and is read whenever its consumer wants something, unless the group is paused there. `stop` resolves when no read of it is under way any more.
 *
 * A group that is missing in a later session was lost together with its stream: it is created again from the start of the stream, also with `from: 'new'`, because entries
 * published in between would be skipped otherwise.
 */
export class PartReading {
  readonly demand: Demand;
  readonly sources: readonly Source[];
  readonly right: ReadingRight;
  readonly #options: PartReadingOptions;
  readonly #reader: GroupReader;
  readonly #waiters: Waiters;
  #readable: readonly Source[] = [];
  /** Whether a stream was left out, because its key holds something else. */
  #refused = false;
  #stopped = false;
  /** Reads and preparations under way. */
  #busy = 0;
  #from: string;
  /** By the local clock, since when an answer is waited for; undefined while none is wanted. */
  #askedAt: number | undefined;

  constructor(options: PartReadingOptions, reader: GroupReader) {
    const { demand, member, right, sources } = options;
    this.demand = demand;
    this.sources = sources;
    this.right = right;
    this.#options = options;
    this.#reader = reader;
    this.#waiters = new Waiters(member.connection.clock);
    this.#from = member.consumer.from;
    this.#askedAt = member.connection.clock.now();
  }

  /** For how long it has been waiting for an answer of Redis, in milliseconds; more than `block` and a few seconds means trouble. 0 while it wants none, or the group is paused. */
  get silentMs(): number {
    const { member, paused } = this.#options;
    if (this.#askedAt === undefined || paused.paused) return 0;
    return member.connection.clock.now() - this.#askedAt;
  }

  /** The streams that can be read at present. */
  get readable(): readonly Source[] {
    return this.#readable;
  }

  get refused(): boolean {
    return this.#refused;
  }

  get paused(): boolean {
    return this.#options.paused.paused;
  }

  /** Whether it may be read at present, if its consumer wants something and the right to it lasts. */
  get open(): boolean {
    return !this.#stopped && this.#readable.length > 0 && !this.paused;
  }

  /** Resolves when the groups exist, or could not be created for now; reading goes on behind it. */
  async start(): Promise<void> {
    try {
      await this.ensureGroups();
    } catch (error) {
      this.report(error);
    }
    if (!this.#stopped) this.#reader.join(this);
  }

  /** Resolves when nothing of it is being read any more. A blocked read is answered first; one that does not answer is cut off, and what it may have been given stays pending. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const left = this.#reader.leave(this);
    await this.whenQuiet();
    await left;
  }

  /** The group is paused here: a read of it that is under way has to end. */
  interrupt(): void {
    this.#reader.interrupt(this);
  }

  /** The group goes on here. */
  resume(): void {
    this.#waiters.notify();
    this.#reader.consider(this);
  }

  /** Something is pending here that did not arrive: it is taken up before anything else is read. */
  refresh(): void {
    this.#reader.refresh(this);
  }

  /** Resolves when no read of it and no preparation is under way. */
  async whenQuiet(): Promise<void> {
    const { signal } = new AbortController();
    await this.#waiters.when(() => this.#busy === 0, signal);
  }

  /** Resolves when the group is not paused here, and at the latest when the signal aborts. */
  whenResumed(signal: AbortSignal): Promise<void> {
    return this.#waiters.when(() => !this.#options.paused.paused, signal);
  }

  /** Nothing can be read of it until it has been prepared. */
  close(): void {
    this.#readable = [];
  }

  /** From now on this one can be read. */
  admit(source: Source): void {
    if (!this.#readable.includes(source)) this.#readable = [...this.#readable, source];
  }

  /**
   * Creates the groups that are missing.
   * @returns the streams that can be read
   */
  async ensureGroups(): Promise<Source[]> {
    const found = await Promise.all(this.sources.map(async (source) => ((await this.#ensure(source)) ? [source] : [])));
    // Entries of a new stream would be skipped otherwise; a place in the past stays right.
    if (this.#from === '$') this.#from = '0';
    this.#refused = found.some((sources) => sources.length === 0);
    return found.flat();
  }

  /** @param askedAt by the local clock, when they were asked for */
  accept(source: Source, deliveries: readonly Delivery[], askedAt: number): void {
    if (!this.right.holds()) return;
    this.#options.dispatcher.accept(source, deliveries, askedAt);
  }

  /** So many were pending, and are gone. */
  trimmed(count: number): void {
    const { member, reporter, telemetry } = this.#options;
    if (count > 0) tellOfTrimmed(member, telemetry, reporter, count);
  }

  /** How many entries there is room for that were delivered and never arrived. */
  get free(): number {
    return this.#options.dispatcher.freeToResume;
  }

  /** How many bytes they may take. */
  get freeBytes(): number {
    return this.#options.dispatcher.freeBytes;
  }

  whenFree(signal: AbortSignal): Promise<void> {
    return this.#options.dispatcher.when(() => this.free > 0 && this.freeBytes > 0, signal);
  }

  /** A read of it, or its preparation, begins. */
  begin(): void {
    this.#busy += 1;
    this.ask();
  }

  /** @param answered whether Redis has said something, or nothing is wanted of it */
  end(answered: boolean): void {
    this.#busy -= 1;
    if (answered && this.#readable.length > 0) {
      this.#askedAt = this.#busy > 0 ? this.#options.member.connection.clock.now() : undefined;
    }
    this.#waiters.notify();
  }

  /** It waits for Redis, if it did not before. */
  ask(): void {
    this.#askedAt ??= this.#options.member.connection.clock.now();
  }

  report(error: unknown): void {
    // How it ends when it is stopped.
    if (this.#stopped) return;
    const { reporter, member } = this.#options;
    const { stream, group } = member.consumer;
    reporter.error(`reading the stream "${stream.name}" for the group "${group}"; it is tried again`, error);
  }

  async #ensure(source: Source): Promise<boolean> {
    try {
      await source.ensureGroup(source.retries ? '0' : this.#from);
      return true;
    } catch (error) {
      if (!(error instanceof StreamTypeError)) throw error;
      this.report(error);
      return false;
    }
  }
}
