import type { StandardSchemaV1 } from '@standard-schema/spec';
import {
  defineStream,
  event,
  StreamBatchHandler,
  StreamConsumer,
  StreamHandler,
  type BatchContext,
  type BatchResult,
  type StreamContext,
  type StreamMessage,
  type StreamProducer,
} from '../../src/index.js';

/** Checked by the compiler, never run: each `@ts-expect-error` is a mistake that must not compile. */

interface OrderCreated {
  id: number;
}
declare const paid: StandardSchemaV1<{ id: string }, { id: bigint }>;

const orders = defineStream('orders', { events: { 'order.created': event<OrderCreated>(), 'order.paid': paid } });
declare const producer: StreamProducer<typeof orders>;

// @ts-expect-error a number is neither event<T>() nor a Standard Schema
defineStream('broken', { events: { tick: 1 } });

void producer.publish('order.created', { id: 1 });
void producer.publish('order.paid', { id: '1' });
// @ts-expect-error no such event
void producer.publish('order.lost', { id: 1 });
// @ts-expect-error the payload of another type
void producer.publish('order.created', { id: '1' });
// @ts-expect-error a schema's input is published, not its output
void producer.publish('order.paid', { id: 1n });
void producer.publish('order.created', { id: 1 }, { delay: '5s' });
void producer.publish('order.created', { id: 1 }, { at: new Date(), key: '1', messageId: '1' });
// @ts-expect-error no duration
void producer.publish('order.created', { id: 1 }, { delay: '5 seconds' });
// @ts-expect-error no such option
void producer.publish('order.created', { id: 1 }, { priority: 'high' });
void producer.publishBatch([
  { type: 'order.created', payload: { id: 1 }, key: '1' },
  { type: 'order.paid', payload: { id: '1' }, delay: '5s' },
]);
// @ts-expect-error the payload of another event
void producer.publishBatch([{ type: 'order.created', payload: { id: '1' } }]);
// @ts-expect-error no such event
void producer.publishBatch([{ type: 'order.lost', payload: { id: 1 } }]);
export async function read(): Promise<void> {
  for await (const message of producer.read({ from: 'start' })) {
    // @ts-expect-error of another event it is a bigint
    const _id: number = message.payload.id;
    if (message.type === 'order.paid') message.payload.id satisfies bigint;
    else message.payload.id satisfies number;
  }
  for await (const { payload } of producer.read({ from: new Date(), type: 'order.paid' })) payload.id satisfies bigint;
  // @ts-expect-error no such event
  producer.read({ from: 'start', type: 'order.lost' });
  // @ts-expect-error a beginning is required
  producer.read({});
}

// @ts-expect-error no such event
orders.event('order.lost');

@StreamConsumer(orders, { group: 'billing' })
export class Accepted {
  @StreamHandler(orders.event('order.created'))
  async created(order: OrderCreated, ctx: StreamContext): Promise<void> {
    await Promise.resolve([order, ctx]);
  }
  @StreamHandler(orders.event('order.created'))
  payloadOnly(order: OrderCreated): number {
    return order.id;
  }
  @StreamHandler(orders.event('order.created'))
  nothing(): void {
    return undefined;
  }
  @StreamHandler(orders.event('order.paid'))
  output({ id }: { id: bigint }): bigint {
    return id;
  }
}

export class Refused {
  // @ts-expect-error the payload of another type
  @StreamHandler(orders.event('order.created'))
  wrongPayload(order: { id: string }): string {
    return order.id;
  }
  // @ts-expect-error a handler receives the output of the schema
  @StreamHandler(orders.event('order.paid'))
  inputOfSchema(order: { id: string }): string {
    return order.id;
  }
  // @ts-expect-error the second argument is the context
  @StreamHandler(orders.event('order.created'))
  wrongContext(order: OrderCreated, ctx: number): number {
    return order.id + ctx;
  }
}

export class Batches {
  @StreamBatchHandler(orders.event('order.created'), { size: 10 })
  async nothing(messages: readonly StreamMessage<OrderCreated>[]): Promise<void> {
    await Promise.resolve(messages);
  }
  @StreamBatchHandler('order.*', { size: 10 })
  failures(messages: readonly StreamMessage<OrderCreated>[], ctx: BatchContext): BatchResult {
    return { failed: messages.map((message) => ({ message, error: ctx })) };
  }
  @StreamBatchHandler(orders.event('order.created'), { size: 10 })
  mutable(messages: StreamMessage<OrderCreated>[]): void {
    messages.length = 0;
  }
  // @ts-expect-error one message at a time is no batch
  @StreamBatchHandler(orders.event('order.created'), { size: 10 })
  single(order: OrderCreated): number {
    return order.id;
  }
  // @ts-expect-error what has failed is said by messages, not by numbers
  @StreamBatchHandler(orders.event('order.created'), { size: 10 })
  numbers(messages: readonly StreamMessage<OrderCreated>[]): { failed: number[] } {
    return { failed: messages.map(({ payload }) => payload.id) };
  }
  @StreamHandler('order.*')
  pattern(order: OrderCreated | { id: bigint }, { type }: StreamContext): string {
    return `${type} ${order.id}`;
  }
}

// @ts-expect-error a group is required
StreamConsumer(orders, {});
