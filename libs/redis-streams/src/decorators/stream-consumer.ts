import 'reflect-metadata';
import { checkInteger, checkKnownKeys, checkOneOf, checkText, injectRuntime } from '@redstart/redis-core';
import type { StreamDefinition } from '../definition/define-stream.js';
import { getStreamToken } from '../streams.tokens.js';

export interface StreamConsumerOptions {
  /** The consumer group: every group gets every message once. One class handles a stream for a group. */
  group: string;
  /** How many messages this process handles at a time. @default 10 */
  concurrency?: number;
  /** Where a group that does not exist yet begins: with the oldest entry of the stream, or with what is published from now on. @default 'start' */
  from?: 'start' | 'new';
}

/** What `@StreamConsumer` says of a class, resolved. */
export interface ConsumerMetadata {
  readonly stream: StreamDefinition;
  readonly group: string;
  readonly concurrency: number;
  readonly from: 'start' | 'new';
}

const metadataKey = '@redstart/redis-streams:consumer';

/**
 * Makes a class the consumer of a stream for a group: its methods with `@StreamHandler` handle the messages. A provider or a controller, of any scope.
 *
 * Reading begins when the application has booted. A message of a type that no method handles is acknowledged and counted.
 *
 * @throws OptionsError where the class is defined, for wrong options. Without `RedisStreamsModule.forFeature` in the module of the class, Nest
 *   refuses to boot and names the class and the module to import.
 * @example
 * @StreamConsumer(orders, { group: 'billing', concurrency: 16 })
 * export class BillingConsumer {
 *   @StreamHandler(orders.event('order.created'))
 *   async created(order: OrderCreated, ctx: StreamContext) { … }
 * }
 */
export function StreamConsumer(stream: StreamDefinition, options: StreamConsumerOptions): ClassDecorator {
  const where = `@StreamConsumer(${stream.name})`;
  checkKnownKeys(options, ['group', 'concurrency', 'from'], where);
  const metadata: ConsumerMetadata = Object.freeze({
    stream,
    group: checkText(options.group, `${where}.group`),
    concurrency: checkInteger(options.concurrency ?? 10, `${where}.concurrency`, 1, 10_000),
    from: checkOneOf(options.from ?? 'start', `${where}.from`, ['start', 'new']),
  });
  return (target) => {
    Reflect.defineMetadata(metadataKey, metadata, target);
    // Never read: it makes Nest refuse to boot when the stream's module is missing, instead of leaving the stream unread in silence.
    const token = getStreamToken(stream);
    const prototype: unknown = target.prototype;
    if (typeof prototype === 'object' && prototype !== null) injectRuntime(prototype, token);
  };
}

export function consumerMetadataOf(target: object): ConsumerMetadata | undefined {
  return Reflect.getMetadata(metadataKey, target) as ConsumerMetadata | undefined;
}
