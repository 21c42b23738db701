import { OptionsError, type Codec, type RedisCall, type RedisConnection } from '@redstart/redis-core';
import { unknownEvent, type StreamDefinition } from '../definition/define-stream.js';
import type { PublishedPayload } from '../definition/event.js';
import { streamKeys, type StreamKeys } from '../keys.js';
import { encodeEnvelope, text, type MessageHeaders } from '../message/envelope.js';
import { validatePayload } from '../message/validate-payload.js';
import { publishScript, type Publication } from '../scripts/publish.js';
import type { ResolvedStreamsOptions } from '../streams.options.js';

export interface PublishOptions {
  /** What the message is about, e.g. the id of the order. Handed to the handlers as `ctx.key`. */
  readonly key?: string;
  /**
   * Your own id of the message: publishing it again within `deduplicationWindow` adds nothing. At most 256 characters.
   * Give one where a repetition must not count twice; then `publish` may be retried after an unknown outcome.
   */
  readonly messageId?: string;
  /** Text that travels beside the payload, e.g. a tenant or a trace. */
  readonly headers?: MessageHeaders;
}

type EventsOf<Stream> = Stream extends StreamDefinition<infer Events> ? Events : never;

const longestMessageId = 256;

/**
 * Publishes to one stream. Stateless: every call goes to Redis, and all calls of one tick leave in one write.
 *
 * @example
 * constructor(@InjectStream(orders) private readonly orders: StreamProducer<typeof orders>) {}
 * await this.orders.publish('order.created', { id: 42 }, { messageId: `order-created:42` });
 */
export class StreamProducer<Stream = StreamDefinition> {
  readonly #stream: StreamDefinition;
  readonly #connection: RedisConnection;
  readonly #options: ResolvedStreamsOptions;
  readonly #codec: Codec;
  readonly #keys: StreamKeys;
  readonly #call: RedisCall;

  /** @internal Inject it by `@InjectStream(definition)`. */
  constructor(stream: StreamDefinition, connection: RedisConnection, options: ResolvedStreamsOptions, codec: Codec) {
    this.#stream = stream;
    this.#connection = connection;
    this.#options = options;
    this.#codec = codec;
    this.#keys = streamKeys(connection.keys, stream.name);
    this.#call = { library: 'redis-streams', operation: 'streams.publish', budgetMs: options.publishTimeoutMs };
  }

  /**
   * Appends a message to the stream. When it resolves the entry is in Redis, and every group will handle it at least once.
   *
   * @returns the entry's id; with a `messageId` that was published before, the id of the earlier entry and `duplicate: true`
   * @throws InvalidPayloadError when the payload does not fit the event's schema · OptionsError for an unknown event or wrong options ·
   *   UnsupportedValueError for a payload that can't be encoded or is too large (nothing was sent in these cases) ·
   *   RedisUnavailableError, whose `outcome` tells whether the message may be in the stream all the same: repeat it only with a `messageId`
   * @see  one XADD; with a `messageId` one EVALSHA of GET, XADD and SET PX
   */
  async publish<Type extends keyof EventsOf<Stream> & string>(
    type: Type,
    payload: PublishedPayload<EventsOf<Stream>[Type]>,
    options: PublishOptions = {},
  ): Promise<Publication> {
    if (!Object.hasOwn(this.#stream.events, type)) throw unknownEvent(this.#stream, type);
    const { key = '', messageId = '', headers = {} } = checkPublishOptions(options);
    // Sent as it was given: a schema that converts does so once, on the consumer's side.
    await validatePayload(this.#stream, type, payload);
    const fields = encodeEnvelope({ type, payload, messageId, key, headers }, this.#codec);
    return messageId === '' ? await this.#add(fields) : await this.#addOnce(fields, messageId);
  }

  async #add(fields: (string | Buffer)[]): Promise<Publication> {
    const { maxLen } = this.#stream.retention ?? {};
    const trim = maxLen === undefined ? [] : ['MAXLEN', '~', maxLen];
    const id = await this.#connection.call(this.#call, (client) =>
      client.call('xadd', this.#keys.stream, ...trim, '*', ...fields),
    );
    return { id: text(id), duplicate: false };
  }

  #addOnce(fields: (string | Buffer)[], messageId: string): Promise<Publication> {
    const { deduplicationWindowMs } = this.#options;
    return this.#connection.scripts.run(
      this.#call,
      publishScript,
      [this.#keys.stream, this.#keys.published(messageId)],
      [deduplicationWindowMs, this.#stream.retention?.maxLen ?? 0, ...fields],
    );
  }
}

const known = ['key', 'messageId', 'headers'];

function checkPublishOptions(options: PublishOptions): PublishOptions {
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) {
      throw new OptionsError(
        `publish({ ${name} })`,
        `is not an option of this version. Known options: ${known.join(', ')}.`,
      );
    }
  }
  const { key, messageId, headers = {} } = options;
  if (key !== undefined && typeof key !== 'string') throw new OptionsError('publish({ key })', 'expected a string.');
  if (messageId !== undefined && !isMessageId(messageId)) {
    throw new OptionsError('publish({ messageId })', `expected 1 to ${longestMessageId} characters.`);
  }
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value !== 'string') throw new OptionsError(`publish({ headers: { '${name}' } })`, 'expected a string.');
  }
  return options;
}

function isMessageId(value: unknown): boolean {
  return typeof value === 'string' && value.length > 0 && value.length <= longestMessageId;
}
