import { checkInteger, checkKnownKeys, checkText, OptionsError } from '@redstart/redis-core';
import { resolveRetention, type ResolvedRetention, type StreamRetention } from '../retention/retention.js';
import { checkShape, type EventShape, type HandledPayload } from './event.js';

export type EventShapes = Readonly<Record<string, EventShape>>;

export interface StreamOptions<Events extends EventShapes> {
  /** The events of the stream by their type. */
  readonly events: Events;
  /**
   * Divides the stream into so many, each with its own key and, on a Cluster, its own slot: 1 to 1024. Messages of one `key` share a partition, and keep their order there. Changing the number
   * later sends keys to other partitions. @default none: one stream
   */
  readonly partitions?: number;
  /** What is dropped after every group has handled it. Without it the stream keeps every entry until it is deleted. */
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
  /** How many; `undefined` for a stream that is not divided. */
  readonly partitions: number | undefined;
  readonly retention: ResolvedRetention | undefined;
  /**
   * Names one event, typed.
   * @throws OptionsError when the stream has no such event
   */
  event<Type extends keyof Events & string>(type: Type): StreamEvent<HandledPayload<Events[Type]>>;
}

/**
 * Describes a stream once, for those who publish to it and those who consume it. Sends nothing.
 *
 * @param name becomes part of the key: `<namespace>:stream:{<name>}`, or `{<name>/<partition>}`
 * @throws OptionsError when the name is empty or holds a `/`, there is no event, or an event is neither `event<T>()` nor a Standard Schema
 * @example
 * export const orders = defineStream('orders', {
 *   events: { 'order.created': event<OrderCreated>(), 'order.paid': z.object({ id: z.string() }) },
 *   retention: { maxAge: '7d' },
 * });
 */
export function defineStream<const Events extends EventShapes>(
  name: string,
  options: StreamOptions<Events>,
): StreamDefinition<Events> {
  const where = `defineStream('${checkText(name, 'defineStream(name)')}')`;
  if (name.includes('/'))
    throw new OptionsError(where, 'holds a "/", which is what divides a name from its partition.');
  checkKnownKeys(options, ['events', 'partitions', 'retention'], where);
  const { events, partitions, retention } = options;
  if (partitions !== undefined) checkInteger(partitions, `${where}.partitions`, 1, 1_024);
  if (Object.keys(events).length === 0)
    throw new OptionsError(`${where}.events`, 'is empty; expected at least one event.');
  for (const [type, shape] of Object.entries(events)) checkShape(shape, `${where}.events['${checkText(type, where)}']`);
  const definition: StreamDefinition<Events> = Object.freeze({
    name,
    events: Object.freeze({ ...events }),
    partitions,
    retention: resolveRetention(retention, `${where}.retention`),
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
