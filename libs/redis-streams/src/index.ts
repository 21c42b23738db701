export { RedisStreamsModule } from './streams.module.js';
export { RedisStreams } from './streams.service.js';
export type { RedisStreamsOptions } from './streams.options.js';
export { getStreamAdminToken, getStreamsToken, getStreamToken, InjectStream } from './streams.tokens.js';
export {
  BatchPublishError,
  AlreadyCommittedError,
  EntryLostError,
  HandlerTimeoutError,
  InvalidPayloadError,
  PayloadTooLargeError,
  RetryAfterError,
  StreamGroupNotFoundError,
  StreamsError,
  StreamTypeError,
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
} from './definition/define-stream.js';
export {
  event,
  type EventShape,
  type HandledPayload,
  type PublishedPayload,
  type TypedEvent,
} from './definition/event.js';

export type { ResolvedRetention, StreamRetention } from './retention/retention.js';
export type { RetentionCounters } from './retention/stream-keeper.js';
export { StreamProducer } from './producer/stream-producer.js';
export type { BatchMessage } from './producer/batch.js';
export type { PublishOptions } from './producer/publish-options.js';
export type { ReadMessage, ReadMessageOf } from './reading/replay.js';
export type { ReadOptions, UnreadableEntry } from './reading/read-options.js';
export type { Publication } from './scripts/publish.js';
export type { Envelope, MessageHeaders } from './message/envelope.js';

export { StreamConsumer, type StreamConsumerOptions } from './decorators/stream-consumer.js';
export { exponential, type Backoff, type ExponentialBackoff, type RetryOptions } from './consumer/retry-policy.js';
export { DefaultStreamHandler, StreamHandler, type StreamHandlerOptions } from './decorators/stream-handler.js';
export { StreamBatchHandler, type StreamBatchHandlerOptions } from './decorators/stream-batch-handler.js';
export type { HandlerOptions, StreamPattern } from './decorators/handler-metadata.js';
export type { BatchContext, BatchResult, StreamMessage } from './consumer/stream-batch.js';
export { OnDeadLetter } from './decorators/on-dead-letter.js';
export { StreamCtx, StreamPayload } from './decorators/stream-params.js';
export type { Effects } from './effects/commit.js';
export type { StreamContext } from './consumer/stream-context.js';
export type { ConsumerCounters } from './consumer/counters.js';
export type { DeadLetterReason } from './consumer/dead-letter.js';

export { StreamAdmin, type ResetOptions } from './admin/stream-admin.js';
export type { StreamTarget } from './admin/stream-target.js';
export type { GroupStatus, PendingSummary } from './admin/group-status.js';
export type { DeadLetter } from './admin/dead-letter.js';
export type { DeadLetterFilter } from './admin/dead-letter-filter.js';
export type { DeadLetters, ListOptions, LongWorkOptions, ReplayOptions, ReplayResult } from './admin/dead-letters.js';

export { OutboxRelay, type OutboxCounters } from './outbox/outbox-relay.js';
export type { OutboxRelayOptions } from './outbox/outbox-options.js';
export type { OutboxMessage, OutboxStore, RefusedMessage } from './outbox/outbox-store.js';
export {
  getOutboxRelayToken,
  InjectOutboxRelay,
  provideOutboxRelay,
  type OutboxRelayOptionsFactory,
  type OutboxRelayProvision,
} from './outbox/provide-outbox-relay.js';
export {
  onStreamTelemetry,
  streamChannel,
  type StreamHappening,
  type StreamTelemetryEvent,
  type StreamTelemetrySource,
} from './telemetry/stream-channel.js';
export { handlingChannel, type HandlingContext } from './telemetry/handling-channel.js';

export { provideNoopStreams } from './testing/noop-streams.js';
