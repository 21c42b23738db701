import { createCodec, OptionsError, type Codec, type RedisConnection } from '@redstart/redis-core';
import type { EventShapes, StreamDefinition } from './definition/define-stream.js';
import { StreamProducer } from './producer/stream-producer.js';
import { resolveStreamsOptions, type RedisStreamsOptions, type ResolvedStreamsOptions } from './streams.options.js';

/**
 * The streams of one application: which are registered, and a producer for each.
 *
 * `forFeature` registers a definition while the application boots; who consumes is found out afterwards, by the `ConsumerHost`.
 */
export class RedisStreams {
  readonly connection: RedisConnection;
  readonly options: ResolvedStreamsOptions;
  readonly codec: Codec;
  readonly #producers = new Map<string, { stream: StreamDefinition; producer: StreamProducer }>();

  /** @internal Inject it; built by `RedisStreamsModule.forRoot`. */
  constructor(connection: RedisConnection, options: RedisStreamsOptions) {
    this.connection = connection;
    this.options = resolveStreamsOptions(options);
    this.codec = createCodec({ maxBytes: this.options.maxPayloadBytes });
  }

  /** The streams that modules have registered by `forFeature`. */
  get streams(): StreamDefinition[] {
    return [...this.#producers.values()].map(({ stream }) => stream);
  }

  /** Whether `forFeature` registered exactly this definition here. */
  has(stream: StreamDefinition): boolean {
    return this.#producers.get(stream.name)?.stream === stream;
  }

  /**
   * The producer of a stream; the same one each time. Registers the stream.
   * @throws OptionsError when another definition has the same name
   */
  producer<Events extends EventShapes>(stream: StreamDefinition<Events>): StreamProducer<StreamDefinition<Events>> {
    const existing = this.#producers.get(stream.name);
    if (existing !== undefined && existing.stream !== stream) {
      throw new OptionsError(
        `RedisStreamsModule.forFeature([${stream.name}])`,
        `there are two definitions of the stream "${stream.name}". Define it once, and import that constant everywhere.`,
      );
    }
    const producer = existing?.producer ?? new StreamProducer(stream, this.connection, this.options, this.codec);
    this.#producers.set(stream.name, { stream, producer });
    return producer;
  }
}
