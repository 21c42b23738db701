import { ClientProxy, type ReadPacket, type WritePacket } from '@nestjs/microservices';
import { RedisUnavailableError, type RedisCall } from '@redstart/redis-core';
import { streamKeys } from '../keys.js';
import { entryFields, type MessageHeaders } from '../message/envelope.js';
import { StreamProducer } from '../producer/stream-producer.js';
import type { Publication } from '../scripts/publish.js';
import { openStream, requestHeaders, requestsOf, type OpenStream } from './open-stream.js';
import { Replies } from './replies.js';
import { recordOf } from './stream-record.js';
import {
  resolveClientOptions,
  type RedisStreamsClientOptions,
  type ResolvedClientOptions,
} from './transport.options.js';

/** About how many requests their stream keeps; whoever asks has given up on older ones long ago. */
const requestsKept = 100_000;

/**
 * Nest's `ClientProxy` over Redis Streams. `emit` publishes an event for every group of the stream; `send` calls one of the stream's servers, and gets its reply, or its replies, over a stream of
 * its own.
 *
 * An `emit` that completes is in Redis; it fails with `RedisUnavailableError` when that is not known. A `send` fails with `CallTimeoutError` after `timeout` without a reply. Nothing is repeated by
 * itself: give an event a `messageId` by {@link StreamRecord} to repeat it safely.
 *
 * @example
 * ClientsModule.registerAsync([{
 *   name: 'BILLING', inject: [RedisStreams],
 *   useFactory: (streams: RedisStreams) => ({ customClass: RedisStreamsClient, options: { streams, stream: 'billing' } }),
 * }])
 */
export class RedisStreamsClient extends ClientProxy {
  /** The ioredis client of the connection. Nest lets the caller say what it is. */
  override readonly unwrap: ClientProxy['unwrap'] = () => this.#options.streams.connection.client as never;
  readonly #options: ResolvedClientOptions;
  readonly #events: OpenStream;
  readonly #producer: StreamProducer;
  readonly #requestsKey: string;
  #replies: Replies | undefined;

  constructor(options: RedisStreamsClientOptions) {
    super();
    this.#options = resolveClientOptions(options);
    const { streams, stream } = this.#options;
    this.#events = openStream(stream);
    this.#producer =
      typeof stream === 'string' ? new StreamProducer(this.#events.definition, streams) : streams.producer(stream);
    this.#requestsKey = streamKeys(streams.connection.keys, requestsOf(stream).definition.name).stream;
    // Nest creates it by its own rules for serializers; what travels here is encoded by the codec of the streams.
    this.initializeSerializer({});
    this.initializeDeserializer({});
  }

  /** The connection is that of the application: there is nothing to open. */
  connect(): Promise<void> {
    return Promise.resolve();
  }

  /** Fails the calls that wait, and removes the stream of the replies. Afterwards the client can be used again. */
  async close(): Promise<void> {
    const replies = this.#replies;
    this.#replies = undefined;
    await replies?.close();
  }

  protected override dispatchEvent<T = Publication>(packet: ReadPacket): Promise<T>;
  protected override dispatchEvent(packet: ReadPacket): Promise<unknown> {
    const type = this.normalizePattern(packet.pattern as string);
    const { data, options } = recordOf(packet.data);
    this.#events.declare(type);
    const headers = { ...packet.metadata, ...options.headers };
    return this.#producer.publish(type, data, { ...options, headers });
  }

  protected override publish(packet: ReadPacket, callback: (packet: WritePacket) => void): () => void {
    const pattern = this.normalizePattern(packet.pattern as string);
    const replies = (this.#replies ??= new Replies(this.#options.streams, this.#options.timeoutMs));
    const call = replies.expect(pattern, ({ err, response, isLast }) => {
      callback({ err, response, isDisposed: isLast });
    });
    this.#request(pattern, call, replies.client, packet).catch((error: unknown) => {
      // It may have arrived all the same: then the reply comes, and otherwise the time runs out.
      if (error instanceof RedisUnavailableError && error.outcome === 'unknown') return;
      replies.fail(call, error);
    });
    return () => {
      replies.abandon(call);
    };
  }

  async #request(pattern: string, call: string, replyTo: string, packet: ReadPacket): Promise<void> {
    const { streams, timeoutMs } = this.#options;
    const { data, options } = recordOf(packet.data);
    const headers: MessageHeaders = {
      ...streams.traceContext?.(),
      ...packet.metadata,
      ...options.headers,
      [requestHeaders.replyTo]: replyTo,
      [requestHeaders.timeout]: String(timeoutMs),
    };
    const payload = await streams.codec.encode(data);
    const fields = entryFields({ type: pattern, messageId: call, key: '', headers }, payload);
    const request: RedisCall = {
      library: 'redis-streams',
      operation: 'streams.call',
      budgetMs: Math.min(timeoutMs, streams.options.publishTimeoutMs),
    };
    await streams.connection.call(request, (client) =>
      client.call('xadd', this.#requestsKey, 'MAXLEN', '~', requestsKept, '*', ...fields),
    );
  }
}
