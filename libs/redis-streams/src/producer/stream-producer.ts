import { randomUUID } from 'node:crypto';
import { Warnings, type Duration, type RedisCall, type RedisConnection } from '@redstart/redis-core';
import { unknownEvent, type StreamDefinition } from '../definition/define-stream.js';
import type { Deduplication, DelayQueue } from '../delay/delay-queue.js';
import { isSchema, type PublishedPayload } from '../definition/event.js';
import { partitionKeys, type StreamKeys } from '../keys.js';
import {
  entryFields,
  noHeaders,
  text,
  withMessageId,
  type EntryField,
  type Envelope,
  type MessageHeaders,
} from '../message/envelope.js';
import { validatePayload } from '../message/validate-payload.js';
import type { DueTime } from '../scripts/due-time.js';
import { publishScript, type Publication } from '../scripts/publish.js';
import type { RetentionCounters } from '../retention/stream-keeper.js';
import { replay, type ReadMessage, type ReadMessageOf } from '../reading/replay.js';
import { resolveReadOptions, type ReadOptions } from '../reading/read-options.js';
import type { RedisStreams } from '../streams.service.js';
import { publishAll, type AnyBatchMessage, type BatchMessage, type ScriptOrder } from './batch.js';
import { Partitioner } from './partitioner.js';
import {
  checkHeaders,
  checkMessageId,
  dueTime,
  resolvePublishOptions,
  type PublishOptions,
} from './publish-options.js';

type EventsOf<Stream> = Stream extends StreamDefinition<infer Events> ? Events : never;

/** One partition, or all there is of a stream that has none. */
interface Target {
  readonly keys: StreamKeys;
  readonly delayed: DelayQueue;
}

/** A message that is ready to be sent. */
interface Outgoing {
  readonly type: string;
  readonly target: Target;
  readonly fields: readonly EntryField[];
  readonly messageId: string;
  readonly due: DueTime | undefined;
}

/**
 * Publishes to one stream. Stateless: every call goes to Redis, and all calls of one tick leave in one write.
 *
 * @example
 * constructor(@InjectStream(orders) private readonly orders: StreamProducer<typeof orders>) {}
 * await this.orders.publish('order.created', { id: 42 }, { messageId: `order-created:42` });
 */
export class StreamProducer<Stream = StreamDefinition> {
  /** What retention has done to the stream, as far as this process took part; goes on counting. */
  readonly retention: Readonly<RetentionCounters>;
  readonly #stream: StreamDefinition;
  readonly #streams: RedisStreams;
  readonly #connection: RedisConnection;
  readonly #targets: readonly [Target, ...Target[]];
  readonly #partitioner: Partitioner;
  readonly #call: RedisCall;
  readonly #warnings: Warnings;

  /** @internal Inject it by `@InjectStream(definition)`. */
  constructor(stream: StreamDefinition, streams: RedisStreams) {
    const { connection, delays, retention } = streams;
    this.#stream = stream;
    this.#streams = streams;
    this.#connection = connection;
    const [first, ...others] = partitionKeys(connection.keys, stream);
    this.retention = retention.keep(stream.name, [first, ...others], stream.retention);
    const target = (keys: StreamKeys): Target => ({ keys, delayed: delays.queue(keys.stream) });
    this.#targets = [target(first), ...others.map(target)];
    this.#partitioner = new Partitioner(this.#targets.length);
    this.#call = this.#describe('publish');
    this.#warnings = new Warnings(`StreamProducer ${stream.name}`, connection.clock);
  }

  /**
   * Appends a message to the stream, now or later. When it resolves the message is in Redis, and every group will handle it at least once.
   *
   * @returns the entry's id; with a `messageId` that was published before, the id of the earlier entry and `duplicate: true`; with `delay` or `at` the
   *   id to {@link cancel} and {@link reschedule} it by, and `dueAt`
   * @throws InvalidPayloadError when the payload does not fit the event's schema · PayloadTooLargeError · OptionsError for an unknown event or wrong options ·
   *   UnsupportedValueError for a payload that can't be encoded (nothing was sent in these cases) ·
   *   RedisUnavailableError, whose `outcome` tells whether the message may be in the stream all the same: repeat it only with a `messageId`
   * @see  one XADD; with a `messageId` or `hardMaxLen` one EVALSHA of XADD and, for the id, GET and SET PX; delayed one EVALSHA of ZSCORE, HSET, ZADD
   */
  publish<Type extends keyof EventsOf<Stream> & string>(
    type: Type,
    payload: PublishedPayload<EventsOf<Stream>[Type]>,
    options?: PublishOptions,
  ): Promise<Publication> {
    // Not `async`, and no promise more than there has to be: what a plain publication costs beside ioredis is mostly promises.
    try {
      const outgoing = this.#prepare(type, payload, options, 'publish');
      return outgoing instanceof Promise ? outgoing.then((ready) => this.#send(ready)) : this.#send(outgoing);
    } catch (error) {
      return Promise.reject(
        error instanceof Error ? error : new TypeError('A getter or a toJSON of the payload threw no error.'),
      );
    }
  }

  /**
   * Appends several messages, in their order, each as {@link publish} would: not atomically. Up to 1000 of them leave in one write, and have `publishTimeout` to be answered.
   *
   * @returns one publication per message, in order
   * @throws BatchPublishError when not all of them were published; its `outcomes` tell what became of each, and why
   * @example  await this.orders.publishBatch(created.map((order) => ({ type: 'order.created', payload: order, key: order.customer })));
   * @see  per message the command of `publish`; the first script of each kind by EVAL, in a Cluster for each partition
   */
  publishBatch(messages: readonly BatchMessage<Stream>[]): Promise<Publication[]>;
  publishBatch(messages: readonly AnyBatchMessage[]): Promise<Publication[]> {
    return publishAll(
      messages,
      ({ type, payload, ...options }) => this.#prepare(type, payload, options, 'publishBatch'),
      (outgoing, order) => this.#send(outgoing, order),
    );
  }

  /**
   * Takes back a delayed message that is not due yet. Its `messageId` may be published anew.
   *
   * @param id of its {@link Publication}: the `messageId` if it has one
   * @returns false when it was not waiting: unknown, added to the stream, or cancelled before
   * @see  one EVALSHA (per partition): ZREM, HDEL
   */
  async cancel(id: string): Promise<boolean> {
    checkMessageId(id, 'cancel(id)');
    const call = this.#describe('cancel');
    const outcomes = await Promise.all(
      this.#targets.map((target) => target.delayed.cancel(call, id, this.#deduplication(target, id))),
    );
    return outcomes.includes(true);
  }

  /**
   * Lets a delayed message be due at another time, earlier or later.
   *
   * @param id of its {@link Publication}: the `messageId` if it has one
   * @param when how long from now, or a moment; by the clock of Redis
   * @returns false when it was not waiting: unknown, added to the stream, or cancelled
   * @see  one EVALSHA (per partition): ZSCORE, ZADD
   */
  async reschedule(id: string, when: Duration | Date): Promise<boolean> {
    checkMessageId(id, 'reschedule(id)');
    const due = dueTime(when, 'reschedule(when)');
    const call = this.#describe('reschedule');
    const outcomes = await Promise.all(
      this.#targets.map((target) => target.delayed.reschedule(call, id, due, this.#deduplication(target, id))),
    );
    return outcomes.includes(true);
  }

  /**
   * Reads messages again, or for the first time, without a group: nothing is acknowledged, and consumers don't notice. In the order of the stream; of a partitioned one in the order of
   * their ids, which is that of each partition.
   *
   * It ends with the last entry that there was when it began; with `follow` it goes on until `signal` aborts. Entries that can't be read are told to `onUnreadable`, or to the log,
   * and left out.
   *
   * @throws OptionsError for wrong options, at once · RedisUnavailableError, RedisCommandError from the loop; with `follow` an outage is waited for
   * @example
   * for await (const { type, payload, id } of this.orders.read({ from: new Date('2030-01-01') })) { … }
   * @see  XRANGE with COUNT, about 1 MiB a time; before the first one XREVRANGE with COUNT 1. Following, XRANGE at most every 500 ms while nothing comes; all per partition
   */
  read<Type extends keyof EventsOf<Stream> & string = keyof EventsOf<Stream> & string>(
    options: ReadOptions<Type>,
  ): AsyncIterable<ReadMessageOf<Stream, Type>>;
  read(options: ReadOptions): AsyncIterable<ReadMessage> {
    return replay(this.#stream, this.#streams, resolveReadOptions(this.#stream, options), this.#warnings);
  }

  /** Synchronous, unless a schema or a compression is not: most messages need neither. */
  #prepare(
    type: string,
    payload: unknown,
    options: PublishOptions | undefined,
    where: string,
  ): Outgoing | Promise<Outgoing> {
    const { events } = this.#stream;
    if (!Object.hasOwn(events, type)) throw unknownEvent(this.#stream, type);
    const { key, messageId, headers, due } = resolvePublishOptions(options, where);
    const target = this.#targets[this.#partitioner.of(key, messageId)] ?? this.#targets[0];
    const around = { type, messageId, key, headers: this.#headers(headers) };
    if (isSchema(events[type])) {
      // Sent as it was given: a schema that converts does so once, on the consumer's side.
      return validatePayload(this.#stream, type, payload).then(() => this.#encode(payload, around, target, due));
    }
    return this.#encode(payload, around, target, due);
  }

  #encode(payload: unknown, around: Omit<Envelope, 'payload'>, target: Target, due: DueTime | undefined) {
    const encoded = this.#streams.codec.encode(payload);
    const ready = (whole: EntryField): Outgoing => ({
      type: around.type,
      target,
      fields: entryFields(around, whole),
      messageId: around.messageId,
      due,
    });
    return encoded instanceof Promise ? encoded.then(ready) : ready(encoded);
  }

  #send(outgoing: Outgoing, order?: ScriptOrder): Promise<Publication> {
    const { telemetry } = this.#streams;
    if (!telemetry.heard) return this.#dispatch(outgoing, order);
    return this.#dispatch(outgoing, order).then((publication) => {
      telemetry.published(this.#stream.name, outgoing.type, publication);
      return publication;
    });
  }

  #dispatch(outgoing: Outgoing, order: ScriptOrder | undefined): Promise<Publication> {
    if (outgoing.due !== undefined) return this.#schedule(outgoing, outgoing.due, order);
    const { target, fields, messageId } = outgoing;
    if (messageId !== '' || this.#stream.retention?.hardMaxLen !== undefined) return this.#addByScript(outgoing, order);
    return this.#connection
      .call(this.#call, (client) => client.call('xadd', target.keys.stream, '*', ...fields))
      .then(publicationOf);
  }

  async #addByScript(
    { target: { keys }, fields, messageId }: Outgoing,
    order: ScriptOrder | undefined,
  ): Promise<Publication> {
    const { options, retention } = this.#streams;
    const { publication, lost } = await this.#connection.scripts.run(
      this.#call,
      publishScript,
      messageId === '' ? [keys.stream] : [keys.stream, keys.published(messageId)],
      [messageId, options.deduplicationWindowMs, this.#stream.retention?.hardMaxLen ?? -1, ...fields],
      order?.by('publish', this.#nodeOf(keys)),
    );
    retention.tellLost(this.#stream.name, this.retention, lost);
    return publication;
  }

  async #schedule(
    { target, fields, messageId }: Outgoing,
    due: DueTime,
    order: ScriptOrder | undefined,
  ): Promise<Publication> {
    const id = messageId === '' ? randomUUID() : messageId;
    const deduplication = messageId === '' ? undefined : this.#deduplication(target, messageId);
    // It goes by that id from here on, wherever it is: the entry's own is not known yet.
    const named = messageId === '' ? withMessageId(fields, id) : fields;
    const by = order?.by('schedule', this.#nodeOf(target.keys));
    const schedule = await target.delayed.schedule(this.#call, id, due, named, deduplication, by);
    const { duplicate, dueAtMs, entryId } = schedule;
    return {
      id: entryId ?? id,
      duplicate,
      ...(dueAtMs === undefined ? {} : { dueAt: new Date(dueAtMs) }),
    };
  }

  #nodeOf({ stream }: StreamKeys): string {
    return this.#connection.cluster ? stream : '';
  }

  #deduplication({ keys }: Target, messageId: string): Deduplication {
    return { published: keys.published(messageId), windowMs: this.#streams.options.deduplicationWindowMs };
  }

  /** The message's own headers win over those of the hook, and both over the trace that is active. */
  #headers(own: MessageHeaders): MessageHeaders {
    const { traceContext, options } = this.#streams;
    const trace = traceContext?.();
    const common = options.headers?.();
    if (trace === undefined && common === undefined) return own;
    const checked = common === undefined ? noHeaders : checkHeaders(common, 'RedisStreamsModule.headers()');
    return { ...trace, ...checked, ...own };
  }

  #describe(operation: string): RedisCall {
    const budgetMs = this.#streams.options.publishTimeoutMs;
    return { library: 'redis-streams', operation: `streams.${operation}`, budgetMs };
  }
}

function publicationOf(id: unknown): Publication {
  return { id: text(id), duplicate: false };
}
