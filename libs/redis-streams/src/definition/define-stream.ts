import { checkInteger, checkKnownKeys, checkText, OptionsError } from '@redstart/redis-core';
import { checkShape, type EventShape, type HandledPayload } from './event.js';

export type EventShapes = Readonly<Record<string, EventShape>>;

export interface StreamRetention {
  /**
   * About how many entries the stream keeps; older ones are dropped by the publisher, **also when a group has not handled them yet**.
   * Choose it far above the longest backlog.
   */
  readonly maxLen: number;
}

export interface StreamOptions<Events extends EventShapes> {
  /** The events of the stream by their type. */
  readonly events: Events;
  /** Without it the stream keeps every entry until it is deleted. */
  readonly retention?: StreamRetention;
}

/** One event of one stream, for `@StreamHandler`. */
export interface StreamEvent<Payload = unknown> {
  readonly stream: StreamDefinition;
  readonly type: string;
  /** Only for the compiler; never set. */
  readonly payload?: Payload;
}

/** A stream and the types of its events: a constant that publishers and consumers share. Made by {@link defineStream}. */
export interface StreamDefinition<Events extends EventShapes = EventShapes> {
  readonly name: string;
  readonly events: Events;
  readonly retention: StreamRetention | undefined;
  /**
   * Names one event, typed.
   * @throws OptionsError when the stream has no such event
   */
  event<Type extends keyof Events & string>(type: Type): StreamEvent<HandledPayload<Events[Type]>>;
}

/**
 * Describes a stream once, for those who publish to it and those who consume it. Sends nothing.
 *
 * @param name becomes part of the key: `<namespace>:stream:{<name>}`
 * @throws OptionsError when the name is empty, there is no event, or an event is neither `event<T>()` nor a Standard Schema
 * @example
 * export const orders = defineStream('orders', {
 *   events: { 'order.created': event<OrderCreated>(), 'order.paid': z.object({ id: z.string() }) },
 *   retention: { maxLen: 1_000_000 },
 * });
 */
export function defineStream<const Events extends EventShapes>(
  name: string,
  options: StreamOptions<Events>,
): StreamDefinition<Events> {
  const where = `defineStream('${checkText(name, 'defineStream(name)')}')`;
  checkKnownKeys(options, ['events', 'retention'], where);
  const { events, retention } = options;
  if (Object.keys(events).length === 0)
    throw new OptionsError(`${where}.events`, 'is empty; expected at least one event.');
  for (const [type, shape] of Object.entries(events)) checkShape(shape, `${where}.events['${checkText(type, where)}']`);
  if (retention !== undefined) {
    checkKnownKeys(retention, ['maxLen'], `${where}.retention`);
    checkInteger(retention.maxLen, `${where}.retention.maxLen`, 1, Number.MAX_SAFE_INTEGER);
  }
  const definition: StreamDefinition<Events> = Object.freeze({
    name,
    events: Object.freeze({ ...events }),
    retention,
    event<Type extends keyof Events & string>(type: Type): StreamEvent<HandledPayload<Events[Type]>> {
      if (!Object.hasOwn(events, type)) throw unknownEvent(definition, type);
      return Object.freeze({ stream: definition, type });
    },
  });
  return definition;
}

/** The error for a type that the stream does not declare. */
export function unknownEvent({ name, events }: StreamDefinition, type: string): OptionsError {
  return new OptionsError(
    `Event "${type}" of the stream "${name}"`,
    `is not declared. Known events: ${Object.keys(events).join(', ')}.`,
  );
}
