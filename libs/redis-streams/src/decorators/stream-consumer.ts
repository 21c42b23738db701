import 'reflect-metadata';
import { checkInteger, checkKnownKeys, checkOneOf, checkText, injectRuntime, OptionsError } from '@redstart/redis-core';
import { idBefore } from '../admin/entry-id.js';
import type { StreamDefinition } from '../definition/define-stream.js';
import { getStreamToken } from '../streams.tokens.js';

export interface StreamConsumerOptions {
  /** The consumer group: every group gets every message once. One class handles a stream for a group. */
  group: string;
  /** How many messages this process handles at a time. @default 10 */
  concurrency?: number;
  /**
   * How many messages are fetched ahead of those that are handled. What has waited here for a third of `minIdle` is given back to the group.
   * @default twice `concurrency`, at most 200
   */
  prefetch?: number;
  /**
   * Of a partitioned stream, whose messages of one key are handled in their order: what becomes of the messages behind one that failed. `'block-key'` lets them wait until it has succeeded or is a dead letter, and those of
   * other keys go on; `'skip'` lets them go on, and the failed one comes later.
   * @default 'block-key'
   */
  onFailure?: 'block-key' | 'skip';
  /**
   * Where a group that does not exist yet begins: with the oldest entry of the stream, with what is published from now on, with the entry of an id, or at a moment.
   * @default 'start'
   */
  from?: 'start' | 'new' | `${number}-${number}` | Date;
}

/** What `@StreamConsumer` says of a class, resolved. */
export interface ConsumerMetadata {
  readonly stream: StreamDefinition;
  readonly group: string;
  readonly concurrency: number;
  readonly prefetch: number;
  readonly onFailure: 'block-key' | 'skip';
  /** The id after which a new group begins; `$` for what comes from now on. */
  readonly from: string;
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
  checkKnownKeys(options, ['group', 'concurrency', 'prefetch', 'onFailure', 'from'], where);
  const concurrency = checkInteger(options.concurrency ?? 10, `${where}.concurrency`, 1, 10_000);
  const metadata: ConsumerMetadata = Object.freeze({
    stream,
    group: checkText(options.group, `${where}.group`),
    concurrency,
    prefetch: checkInteger(options.prefetch ?? Math.min(2 * concurrency, 200), `${where}.prefetch`, 0, 10_000),
    onFailure: onFailureOf(stream, options.onFailure, `${where}.onFailure`),
    from: beginningOf(options.from ?? 'start', `${where}.from`),
  });
  return (target) => {
    Reflect.defineMetadata(metadataKey, metadata, target);
    // Never read: it makes Nest refuse to boot when the stream's module is missing, instead of leaving the stream unread in silence.
    const token = getStreamToken(stream);
    const prototype: unknown = target.prototype;
    if (typeof prototype === 'object' && prototype !== null) injectRuntime(prototype, token);
  };
}

function onFailureOf(stream: StreamDefinition, onFailure: unknown, option: string): 'block-key' | 'skip' {
  if (onFailure !== undefined && stream.partitions === undefined) {
    throw new OptionsError(
      option,
      `the stream "${stream.name}" has no partitions, so its messages have no order per key.`,
    );
  }
  return checkOneOf(onFailure ?? 'block-key', option, ['block-key', 'skip']);
}

/** The id that a new group has read last. */
function beginningOf(from: unknown, option: string): string {
  if (from === 'start') return '0';
  if (from === 'new') return '$';
  if (from instanceof Date && !Number.isNaN(from.getTime()))
    return idBefore(`${Math.max(0, from.getTime())}-0`, option);
  if (typeof from === 'string' && /^\d+-\d+$/.test(from)) return idBefore(from, option);
  throw new OptionsError(option, "expected 'start', 'new', the id of an entry ('1700000000000-0') or a Date.");
}

export function consumerMetadataOf(target: object): ConsumerMetadata | undefined {
  return Reflect.getMetadata(metadataKey, target) as ConsumerMetadata | undefined;
}
