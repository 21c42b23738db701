import type { Type } from '@nestjs/common';
import {
  OnDeadLetter,
  StreamBatchHandler,
  StreamConsumer,
  type BatchContext,
  type BatchResult,
  type DeadLetter,
  type StreamDefinition,
  type StreamEvent,
  type StreamMessage,
} from '@redstart/redis-streams';
import type { Flusher, StreamedWrite } from './flusher.js';
import type { ResolvedWriteBehindOptions } from './write-behind.options.js';

/** Who writes. */
export const writeGroup = 'store';

/** The class that consumes the writes of one cache: one batch after the other, so that of a key nothing older is written beside something newer. */
export function consumerOf<Id, Value>(
  stream: StreamDefinition,
  event: StreamEvent<StreamedWrite<Id, Value>>,
  { size, maxWaitMs, retry, timeoutMs }: ResolvedWriteBehindOptions,
): Type<object> {
  @StreamConsumer(stream, { group: writeGroup, concurrency: 1, prefetch: 2 * size })
  class WriteBehindConsumer {
    constructor(private readonly flusher: Flusher<Id, Value>) {}

    @StreamBatchHandler(event, { size, maxWait: maxWaitMs, retry, timeout: timeoutMs })
    write(messages: readonly StreamMessage<StreamedWrite<Id, Value>>[], context: BatchContext): Promise<BatchResult> {
      return this.flusher.flush(messages, context);
    }

    @OnDeadLetter()
    bury(letter: DeadLetter): Promise<void> {
      return this.flusher.bury(letter);
    }
  }
  return WriteBehindConsumer;
}
