import { checkBoolean, checkKnownKeys, durationMs, type Duration } from '@redstart/redis-core';
import type { StreamContext } from '../consumer/stream-context.js';
import type { StreamEvent } from '../definition/define-stream.js';
import {
  handlerMetadata,
  recordHandler,
  type HandlerMetadata,
  type HandlerOptions,
  type StreamPattern,
} from './handler-metadata.js';

export interface StreamHandlerOptions extends HandlerOptions {
  /**
   * Remembers which messages have been handled, by their `messageId`: one that comes again, because it was published or delivered twice, is acknowledged unseen. For a day, or for `ttl`, which has
   * to be longer than the time within which it may come again. Costs two scripts per message.
   * @default false
   */
  idempotent?: boolean | { ttl: Duration };
}

/** Decorates a method that takes such a payload. Of a pattern the payloads are of several types, and the method says which. */
type HandlerDecorator<Payload> = <Method extends (payload: Payload, ctx: StreamContext) => unknown>(
  target: object,
  propertyKey: string,
  descriptor: TypedPropertyDescriptor<Method>,
) => void;

/**
 * Makes a method the handler of an event, or of all events whose type matches a pattern: it is called as `handler(payload, ctx)` for each message.
 *
 * The message is acknowledged after the promise of the handler has resolved. When it rejects, the message comes again after its backoff, to any consumer of the group and to
 * no other group, until its attempts are used up: then it becomes a dead letter. Guards, pipes,
 * interceptors and filters of the handler and its class apply, with the context type `redis-stream`.
 *
 * When several match, the event itself goes before a pattern, a longer pattern before a shorter one, and any of them before `@DefaultStreamHandler`.
 *
 * @throws OptionsError where the class is defined, for wrong options; at boot for a second handler of the same, or a pattern that matches no event of the stream
 * @example
 * @StreamHandler(orders.event('order.created'), { timeout: '30s' })
 * async created(order: OrderCreated, ctx: StreamContext) { … }
 * @StreamHandler('order.*')
 * async any(order: OrderCreated | OrderPaid, { type }: StreamContext) { … }
 */
export function StreamHandler<Payload>(
  event: StreamEvent<Payload>,
  options?: StreamHandlerOptions,
): HandlerDecorator<Payload>;
export function StreamHandler(pattern: string, options?: StreamHandlerOptions): HandlerDecorator<never>;
export function StreamHandler(pattern: StreamPattern, options: StreamHandlerOptions = {}): HandlerDecorator<never> {
  const metadata = metadataOf('StreamHandler', pattern, options);
  return (target, propertyKey, descriptor) => {
    recordHandler(metadata, target, propertyKey, descriptor.value);
  };
}

/**
 * Makes a method the handler of every message that no other one of its class handles, also of types that the stream does not declare. Without one, messages of declared types are acknowledged and
 * counted, and others become dead letters.
 *
 * @throws OptionsError where the class is defined, for wrong options
 * @example
 * @DefaultStreamHandler()
 * unknown(payload: unknown, { type }: StreamContext) { this.logger.warn(`nobody handles ${type}`); }
 */
export function DefaultStreamHandler(options: StreamHandlerOptions = {}): HandlerDecorator<never> {
  const metadata = metadataOf('DefaultStreamHandler', '*', options);
  return (target, propertyKey, descriptor) => {
    recordHandler(metadata, target, propertyKey, descriptor.value);
  };
}

const dayMs = 24 * 60 * 60_000;

function metadataOf(name: string, pattern: StreamPattern, options: StreamHandlerOptions): HandlerMetadata {
  const where = `@${name}(${typeof pattern === 'string' ? pattern : pattern.type}).idempotent`;
  return handlerMetadata(name, pattern, options, {
    known: ['idempotent'],
    inboxMs: inboxMsOf(options.idempotent ?? false, where),
  });
}

function inboxMsOf(idempotent: boolean | { ttl: Duration }, where: string): number | undefined {
  if (typeof idempotent !== 'object') return checkBoolean(idempotent, where) ? dayMs : undefined;
  checkKnownKeys(idempotent, ['ttl'], where);
  return durationMs(idempotent.ttl, `${where}.ttl`);
}
