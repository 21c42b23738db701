export { RedisStreamsModule } from './streams.module.js';
export { RedisStreams } from './streams.service.js';
export type { RedisStreamsOptions } from './streams.options.js';
export { getStreamsToken, getStreamToken, InjectStream } from './streams.tokens.js';
export {
  InvalidPayloadError,
  StreamsError,
  UndecodableEntryError,
  UnrecoverableError,
  type PayloadIssue,
} from './streams.errors.js';

export {
  defineStream,
  type EventShapes,
  type StreamDefinition,
  type StreamEvent,
  type StreamOptions,
  type StreamRetention,
} from './definition/define-stream.js';
export {
  event,
  type EventShape,
  type HandledPayload,
  type PublishedPayload,
  type TypedEvent,
} from './definition/event.js';

export { StreamProducer, type PublishOptions } from './producer/stream-producer.js';
export type { Publication } from './scripts/publish.js';
export type { MessageHeaders } from './message/envelope.js';

export { StreamConsumer, type StreamConsumerOptions } from './decorators/stream-consumer.js';
export { StreamHandler, type StreamHandlerOptions } from './decorators/stream-handler.js';
export { StreamCtx, StreamPayload } from './decorators/stream-params.js';
export type { StreamContext } from './consumer/stream-context.js';
export type { ConsumerCounters } from './consumer/counters.js';
export type { DeadLetterReason } from './consumer/dead-letter.js';

export { provideNoopStreams } from './testing/noop-streams.js';
