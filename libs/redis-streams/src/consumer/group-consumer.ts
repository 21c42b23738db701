import type { ConsumerMetadata } from '../decorators/stream-consumer.js';
import { partitionKeys, streamKeys } from '../keys.js';
import type { RedisStreams } from '../streams.service.js';
import type { ConsumerTelemetry } from '../telemetry/consumer-telemetry.js';
import type { ConsumerCounters } from './counters.js';
import { DeadLetterListener } from './dead-letter-listener.js';
import { Dispatcher } from './dispatcher.js';
import { type GroupMember } from './group.js';
import type { Invoke } from './handler-factory.js';
import { HandlerTable } from './handler-table.js';
import type { MessageHandler } from './message-handler.js';
import { MessageHandling } from './message-handling.js';
import { Demand } from './reader/demand.js';
import type { Membership } from './reader/membership.js';
import { PartitionAssignment } from './partitions/partition-assignment.js';
import { Reporter } from './reporter.js';
import type { PartContext, StreamPart } from './stream-part.js';
import { WholeStream } from './whole-stream.js';

/** What a class does with its messages. */
export interface ConsumerMethods {
  readonly handlers: readonly MessageHandler[];
  readonly onDeadLetter: { readonly name: string; readonly invoke: Invoke } | undefined;
}

/**
 * One consumer of one group: what it reads, and its dispatcher. Its name, and the connection that it reads with, are those of all consumers of the group in this application.
 *
 * It is *consuming* from `start` on. `stop` ends reading and claiming, while handlers go on; `drain` waits for them and then *leaves* the group: what is pending
 * under its name becomes free for others at once, and its record is removed when nothing is.
 */
export class GroupConsumer {
  readonly #streams: RedisStreams;
  readonly #telemetry: ConsumerTelemetry;
  readonly #member: GroupMember;
  readonly #membership: Membership;
  readonly #reporter: Reporter;
  readonly #handling: MessageHandling;
  readonly #dispatcher: Dispatcher;
  readonly #reading: WholeStream | PartitionAssignment;

  constructor(streams: RedisStreams, consumer: ConsumerMetadata, { handlers, onDeadLetter }: ConsumerMethods) {
    const { connection, options, codec, delays } = streams;
    this.#streams = streams;
    this.#membership = streams.memberships.enter(consumer.group, consumer.stream.name);
    this.#member = {
      connection,
      options,
      consumer,
      delays,
      trials: streams.trials,
      name: this.#membership.name,
    };
    this.#telemetry = streams.telemetry.consumer(consumer.stream.name, consumer.group);
    this.#reporter = new Reporter(`StreamConsumer ${consumer.stream.name}/${consumer.group}`, connection.clock);
    this.#handling = new MessageHandling(
      this.#member,
      codec,
      new HandlerTable(consumer.stream, handlers),
      this.#reporter,
    );
    const largestBatch = Math.max(...handlers.map(({ batch }) => batch?.size ?? 1));
    const listener = onDeadLetter && new DeadLetterListener(onDeadLetter, codec, this.#reporter);
    this.#dispatcher = new Dispatcher(
      this.#member,
      this.#handling,
      this.#telemetry,
      this.#reporter,
      listener,
      largestBatch,
    );

    const context: PartContext = {
      member: this.#member,
      membership: this.#membership,
      demand: new Demand(this.#dispatcher),
      delays,
      dispatcher: this.#dispatcher,
      telemetry: this.#telemetry,
      reporter: this.#reporter,
      parts: () => this.parts.length,
    };
    const keys = streamKeys(connection.keys, consumer.stream.name);
    this.#reading =
      consumer.stream.partitions === undefined
        ? new WholeStream(context, keys)
        : new PartitionAssignment(
            context,
            keys.members(consumer.group),
            partitionKeys(connection.keys, consumer.stream),
          );
  }

  /** What it reads at present. */
  get parts(): readonly StreamPart[] {
    return this.#reading.parts;
  }

  get counters(): ConsumerCounters {
    return this.#telemetry.counters;
  }

  get metadata(): ConsumerMetadata {
    return this.#member.consumer;
  }

  /** The consumer's name within its group, as XINFO CONSUMERS shows it. */
  get name(): string {
    return this.#member.name;
  }

  /** For how long it has been waiting for an answer of Redis, in milliseconds. While the group is paused it asks for none. */
  get silentMs(): number {
    return Math.max(0, ...this.parts.map(({ silentMs }) => silentMs));
  }

  async start(): Promise<void> {
    this.#streams.consumers.add(this);
    await this.#reading.start();
  }

  async stop(): Promise<void> {
    this.#streams.consumers.delete(this);
    await this.#reading.stop();
  }

  async drain(): Promise<void> {
    const unfinished = await this.#dispatcher.close(this.#member.options.drainTimeoutMs);
    this.#handling.close();
    if (unfinished.length > 0) {
      this.#reporter.warn(
        'drain',
        `${unfinished.length} handlers had not finished at shutdown; their entries stay pending.`,
      );
    }
    // A handler that ignores its signal still works on its entry: others get that one after minIdle, not at once.
    await this.#reading.leave(unfinished);
    this.#streams.memberships.leave(this.#membership);
  }
}
