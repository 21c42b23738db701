import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { ConsumerMetadata } from '../decorators/stream-consumer.js';
import { streamKeys } from '../keys.js';
import { leaveScript } from '../scripts/leave.js';
import type { RedisStreams } from '../streams.service.js';
import { newCounters, type ConsumerCounters } from './counters.js';
import { Dispatcher } from './dispatcher.js';
import { backgroundCall, type GroupMember } from './group.js';
import { MessageHandling, type MessageHandler } from './message-handling.js';
import { Reader } from './reader.js';
import { Reaper } from './reaper.js';
import { Reporter } from './reporter.js';

/** Entries beyond this wait for minIdle after a shutdown, instead of being free at once. */
const mostReleased = 1_000;

/**
 * One consumer of one group: its reader, its reaper and its dispatcher under one name.
 *
 * It is *consuming* from `start` on. `stop` ends reading and claiming, while handlers go on; `drain` waits for them and then *leaves* the group: what is pending
 * under its name becomes free for others at once, and its record is removed when nothing is.
 */
export class GroupConsumer {
  readonly counters: ConsumerCounters = newCounters();
  readonly #member: GroupMember;
  readonly #reporter: Reporter;
  readonly #dispatcher: Dispatcher;
  readonly #reader: Reader;
  readonly #reaper: Reaper;

  constructor(streams: RedisStreams, consumer: ConsumerMetadata, handlers: ReadonlyMap<string, MessageHandler>) {
    const { connection, options, codec } = streams;
    this.#member = {
      connection,
      options,
      consumer,
      keys: streamKeys(connection.keys, consumer.stream.name),
      name: [options.service, hostname(), process.pid, randomBytes(4).toString('hex')].join(':'),
    };
    this.#reporter = new Reporter(`StreamConsumer ${consumer.stream.name}/${consumer.group}`, connection.clock);
    const handling = new MessageHandling(this.#member, codec, handlers, this.#reporter);
    this.#dispatcher = new Dispatcher(this.#member, handling, this.counters, this.#reporter);
    this.#reader = new Reader(this.#member, this.#dispatcher, this.#reporter);
    this.#reaper = new Reaper(this.#member, this.#dispatcher, this.counters, this.#reporter);
  }

  get metadata(): ConsumerMetadata {
    return this.#member.consumer;
  }

  /** The consumer's name within its group, as XINFO CONSUMERS shows it. */
  get name(): string {
    return this.#member.name;
  }

  async start(): Promise<void> {
    await this.#reader.start();
    this.#reaper.start();
  }

  async stop(): Promise<void> {
    await Promise.all([this.#reader.stop(), this.#reaper.stop()]);
  }

  async drain(): Promise<void> {
    const unfinished = await this.#dispatcher.close(this.#member.options.drainTimeoutMs);
    if (unfinished.length > 0) {
      this.#reporter.warn(
        'drain',
        `${unfinished.length} handlers had not finished at shutdown; their entries stay pending.`,
      );
    }
    // A handler that outlives the deadline still works on its entry: others get that one after minIdle, not at once.
    await this.#leave(unfinished);
  }

  async #leave(stillRunning: readonly string[]): Promise<void> {
    const { connection, keys, consumer, name, options } = this.#member;
    try {
      await connection.scripts.run(
        backgroundCall(this.#member, 'leave'),
        leaveScript,
        [keys.stream],
        [consumer.group, name, options.minIdleMs, mostReleased, ...stillRunning],
      );
    } catch (error) {
      // Nothing is lost: after minIdle others take what is pending.
      this.#reporter.error('leaving the group', error);
    }
  }
}
