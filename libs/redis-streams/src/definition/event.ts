import type { StandardSchemaV1 } from '@standard-schema/spec';
import { OptionsError } from '@redstart/redis-core';

declare const payloadType: unique symbol;

/** An event known to the compiler only: its payload is not checked at run time. Made by {@link event}. */
export interface TypedEvent<Payload> {
  readonly [payloadType]?: Payload;
  readonly kind: 'typed-event';
}

/** What describes the payload of an event: {@link event}, or a Standard Schema (zod, valibot, arktype …). */
export type EventShape = TypedEvent<unknown> | StandardSchemaV1;

/** What a publisher hands over. */
export type PublishedPayload<Shape> = Shape extends StandardSchemaV1
  ? StandardSchemaV1.InferInput<Shape>
  : Shape extends TypedEvent<infer Payload>
    ? Payload
    : never;

/** What a handler receives: of a schema its output, so a schema may convert and fill in. */
export type HandledPayload<Shape> = Shape extends StandardSchemaV1
  ? StandardSchemaV1.InferOutput<Shape>
  : Shape extends TypedEvent<infer Payload>
    ? Payload
    : never;

const typedEvent = Object.freeze({ kind: 'typed-event' as const });

/**
 * An event whose payload is typed, and not validated.
 *
 * @example  events: { 'order.created': event<OrderCreated>() }
 */
export function event<Payload>(): TypedEvent<Payload> {
  return typedEvent;
}

/** @throws OptionsError when it is neither {@link event} nor a Standard Schema */
export function checkShape(shape: unknown, option: string): void {
  if (shape === typedEvent || isSchema(shape)) return;
  throw new OptionsError(option, 'expected event<Payload>() or a Standard Schema (zod, valibot, arktype …).');
}

export function isSchema(shape: unknown): shape is StandardSchemaV1 {
  // A schema may be a function with properties, as those of arktype are.
  return ((typeof shape === 'object' && shape !== null) || typeof shape === 'function') && '~standard' in shape;
}
