import { OptionsError, type RedisConnection } from '@redstart/redis-core';
import type { EventShapes, StreamDefinition } from './definition/define-stream.js';
import type { GroupConsumer } from './consumer/group-consumer.js';
import { Memberships } from './consumer/reader/membership.js';
import { TrialGate } from './consumer/trials.js';
import { DelayMover } from './delay/delay-mover.js';
import { createPayloadCodec, type PayloadCodec } from './message/payload-codec.js';
import { traceContext, type HeaderSource } from './message/trace-context.js';
import { StreamProducer } from './producer/stream-producer.js';
import { StreamKeeper } from './retention/stream-keeper.js';
import { StreamsTelemetry } from './telemetry/streams-telemetry.js';
import { resolveStreamsOptions, type RedisStreamsOptions, type ResolvedStreamsOptions } from './streams.options.js';

/**
 * The streams of one application: which are registered, and a producer for each.
 *
 * `forFeature` registers a definition while the application boots; who consumes is found out afterwards, by the `ConsumerHost`.
 */
export class RedisStreams {
  readonly connection: RedisConnection;
  readonly options: ResolvedStreamsOptions;
  readonly codec: PayloadCodec;
  /** @internal The delay queues of this application. */
  readonly delays: DelayMover;
  /** @internal Trims the streams of this application. */
  readonly retention: StreamKeeper;
  /** @internal The trace that is active, where the application traces. */
  readonly traceContext: HeaderSource | undefined;
  /** @internal What happens to messages, for those who listen. */
  readonly telemetry: StreamsTelemetry;
  /** @internal The consumers of this process that are reading. */
  readonly consumers = new Set<GroupConsumer>();
  /** @internal Lets messages that may kill this process begin one at a time. */
  readonly trials = new TrialGate();
  /** @internal The groups that this process is a member of. */
  readonly memberships: Memberships;
  readonly #producers = new Map<string, { stream: StreamDefinition; producer: StreamProducer }>();

  /** @internal Inject it; built by `RedisStreamsModule.forRoot`. */
  constructor(connection: RedisConnection, options: RedisStreamsOptions, name = 'default') {
    this.connection = connection;
    this.options = resolveStreamsOptions(options);
    this.codec = createPayloadCodec({
      maxBytes: this.options.maxPayloadBytes,
      compressFrom: this.options.compressFrom,
    });
    this.traceContext = traceContext();
    this.telemetry = new StreamsTelemetry({ module: name, connection: connection.name });
    this.memberships = new Memberships(connection, this.options);
    this.delays = new DelayMover(connection, this.options);
    this.retention = new StreamKeeper(connection, this.options);
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
    const producer = existing?.producer ?? new StreamProducer(stream, this);
    this.#producers.set(stream.name, { stream, producer });
    return producer;
  }
}
