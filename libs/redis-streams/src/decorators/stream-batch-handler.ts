import { checkInteger, durationMs, type Duration } from '@redstart/redis-core';
import type { BatchContext, BatchResult, StreamMessage } from '../consumer/stream-batch.js';
import type { StreamEvent } from '../definition/define-stream.js';
import { handlerMetadata, recordHandler, type HandlerOptions, type StreamPattern } from './handler-metadata.js';

export interface StreamBatchHandlerOptions extends HandlerOptions {
  /** How many messages a batch has at most. */
  size: number;
  /** How long the first message of a batch waits for others. @default '50ms' */
  maxWait?: Duration;
}

/** What a method without a return type returns. */
type Nothing = ReturnType<() => void>;
type BatchOutcome = BatchResult | undefined | Nothing;

type BatchHandlerDecorator<Payload> = <
  Method extends (
    // Its own, whether it says so or not: it may take them out one by one.
    messages: StreamMessage<Payload>[],
    ctx: BatchContext,
  ) => BatchOutcome | Promise<BatchOutcome>,
>(
  target: object,
  propertyKey: string,
  descriptor: TypedPropertyDescriptor<Method>,
) => void;

/**
 * Makes a method the handler of an event, or of all events whose type matches a pattern, many messages at a time: for one INSERT instead of a hundred.
 *
 * A batch is full with `size` messages, and leaves after `maxWait` at the latest. It takes one slot of `concurrency`. When the method resolves, its messages are acknowledged, apart from those that it returns as
 * `failed`, and those whose own `ctx.retry()` or `ctx.deadLetter()` was called; when it rejects, all of them have failed. Each message has attempts of its own.
 *
 * @throws OptionsError where the class is defined, for wrong options; at boot as {@link StreamHandler}
 * @example
 * @StreamBatchHandler(orders.event('order.created'), { size: 100, maxWait: '50ms' })
 * async created(messages: readonly StreamMessage<OrderCreated>[]): Promise<BatchResult> {
 *   const refused = await this.orders.insertMany(messages.map(({ payload }) => payload));
 *   return { failed: refused.map(({ index, error }) => ({ message: messages[index], error })) };
 * }
 */
export function StreamBatchHandler<Payload>(
  event: StreamEvent<Payload>,
  options: StreamBatchHandlerOptions,
): BatchHandlerDecorator<Payload>;
export function StreamBatchHandler(pattern: string, options: StreamBatchHandlerOptions): BatchHandlerDecorator<never>;
export function StreamBatchHandler(
  pattern: StreamPattern,
  options: StreamBatchHandlerOptions,
): BatchHandlerDecorator<never> {
  const where = `@StreamBatchHandler(${typeof pattern === 'string' ? pattern : pattern.type})`;
  const batch = Object.freeze({
    size: checkInteger(options.size, `${where}.size`, 1, 1_000),
    maxWaitMs: durationMs(options.maxWait ?? '50ms', `${where}.maxWait`, { min: 0, max: 60_000 }),
  });
  const metadata = handlerMetadata('StreamBatchHandler', pattern, options, { known: ['size', 'maxWait'], batch });
  return (target, propertyKey, descriptor) => {
    recordHandler(metadata, target, propertyKey, descriptor.value);
  };
}
