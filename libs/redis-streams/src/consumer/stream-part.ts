import type { RedisStreams } from '../streams.service.js';
import type { StreamKeys } from '../keys.js';
import { leaveScript } from '../scripts/leave.js';
import type { ConsumerTelemetry } from '../telemetry/consumer-telemetry.js';
import type { Dispatcher } from './dispatcher.js';
import { backgroundCall, type GroupMember } from './group.js';
import type { HeldEntry } from './held-entry.js';
import type { Demand } from './reader/demand.js';
import type { Membership } from './reader/membership.js';
import { PartReading, type ReadingRight } from './reader/part-reading.js';
import { WatchedPause } from './reader/pause-watch.js';
import { Reaper } from './reaper.js';
import type { Reporter } from './reporter.js';
import { Source } from './source.js';
import { tellOfTrimmed } from './trimmed.js';
import { Undertaker } from './undertaker.js';

/** Entries beyond this wait for minIdle after a shutdown, instead of being free at once. */
const mostReleased = 1_000;

/** What the parts of one consumer share. */
export interface PartContext {
  readonly member: GroupMember;
  /** With whom it reads together. */
  readonly membership: Membership;
  readonly demand: Demand;
  readonly delays: RedisStreams['delays'];
  readonly dispatcher: Dispatcher;
  readonly telemetry: ConsumerTelemetry;
  readonly reporter: Reporter;
  /** How many parts the consumer reads: what each slot does in the background comes so many times as rarely. */
  readonly parts: () => number;
}

/**
 * What one consumer reads in one slot: a stream, or one partition of it, and the group's retry stream beside it, with the agents that look after them.
 */
export class StreamPart {
  readonly sources: readonly Source[];
  readonly #context: PartContext;
  readonly #paused: WatchedPause;
  readonly #reading: PartReading;
  /** Not of a partition: its owner takes everything up that is pending, in order, whoever it was given to. */
  readonly #reaper: Reaper | undefined;
  readonly #undertaker: Undertaker;
  #stopped = false;

  constructor(context: PartContext, keys: StreamKeys, partition: number | undefined, right: ReadingRight) {
    const { demand, dispatcher, member, membership, reporter, telemetry } = context;
    this.#context = context;
    this.sources = [false, true].map((retries) => new Source(member, keys, retries, partition, right.holds));
    const { pauses, reader, reaping } = membership.agentsOf(keys.stream, context.parts);
    this.#paused = new WatchedPause(keys.paused(member.consumer.group), pauses, (paused) => {
      if (paused) this.#reading.interrupt();
      else this.#reading.resume();
      // Of a partition nobody else could take what waits, and it would come back behind others of its key.
      if (partition !== undefined) dispatcher.stall(this.sources, paused);
      else if (paused) void dispatcher.giveBackWaiting(this.sources);
    });
    const shared = { member, sources: this.sources, dispatcher, paused: this.#paused, reporter };
    this.#reading = new PartReading({ ...shared, demand, right, telemetry }, reader);
    this.#undertaker = new Undertaker(member, this.sources, reporter);
    this.#reaper = right.ownership === undefined ? new Reaper({ ...shared, telemetry }, reaping) : undefined;
  }

  /** For how long it has been waiting for an answer of Redis, in milliseconds. While the group is paused it asks for none. */
  get silentMs(): number {
    return this.#reading.silentMs;
  }

  async start(): Promise<void> {
    const { delays, member } = this.#context;
    // Messages of this group may be waiting for their next attempt that other processes have scheduled.
    for (const { keys } of this.sources) delays.queue(keys.retry(member.consumer.group));
    // Before it is read for the first time: it may be paused.
    this.#paused.start();
    await this.#reading.start();
    // Stopped meanwhile: nobody would stop what begins now.
    if (this.#stopped) return;
    this.#reaper?.start();
    this.#undertaker.start();
  }

  /** Something is pending here that did not arrive: it is taken up before anything else is read. */
  refresh(): void {
    this.#reading.refresh();
  }

  /** Resolves when nothing is being read or taken over any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#paused.stop();
    await Promise.all([this.#reading.stop(), this.#reaper?.stop(), this.#undertaker.stop()]);
  }

  /** Sets free what is pending under this consumer's name and not being worked on, and removes its record when nothing is. */
  async leave(stillRunning: readonly HeldEntry[]): Promise<void> {
    await Promise.all(this.sources.map((source) => this.#leave(source, stillRunning)));
  }

  async #leave(source: Source, stillRunning: readonly HeldEntry[]): Promise<void> {
    const { member, reporter, telemetry } = this.#context;
    const { connection, consumer, name, options } = member;
    const ids = stillRunning.filter((entry) => entry.source === source).map(({ id }) => id);
    try {
      const { trimmed } = await connection.scripts.run(
        backgroundCall(member, 'leave'),
        leaveScript,
        [source.key],
        [consumer.group, name, options.minIdleMs, mostReleased, ...ids],
      );
      if (trimmed > 0) tellOfTrimmed(member, telemetry, reporter, trimmed);
    } catch (error) {
      // Nothing is lost: after minIdle others take what is pending.
      reporter.error('leaving the group', error);
    }
  }
}
