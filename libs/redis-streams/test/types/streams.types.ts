import type { StandardSchemaV1 } from '@standard-schema/spec';
import {
  defineStream,
  event,
  StreamConsumer,
  StreamHandler,
  type StreamContext,
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
// @ts-expect-error no such option in this version
void producer.publish('order.created', { id: 1 }, { delay: '5s' });
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

// @ts-expect-error a group is required
StreamConsumer(orders, {});
