import 'reflect-metadata';
import { checkInteger, checkKnownKeys } from '@redstart/redis-core';
import type { StreamContext } from '../consumer/stream-context.js';
import type { StreamEvent } from '../definition/define-stream.js';
import { describePositionalParameters } from './stream-params.js';

export interface StreamHandlerOptions {
  retry?: {
    /** How often a failing message is tried in all. @default retry.attempts of the module */
    attempts?: number;
  };
}

/** What `@StreamHandler` says of a method. */
export interface HandlerMetadata {
  readonly event: StreamEvent;
  readonly attempts: number | undefined;
}

/** A method that was given `@StreamHandler`, whatever has become of it since. */
export interface RecordedHandler {
  readonly propertyKey: string;
  readonly metadata: HandlerMetadata;
}

const metadataKey = '@redstart/redis-streams:handler';
const recordKey = '@redstart/redis-streams:handlers';

/**
 * Makes a method the handler of an event: it is called as `handler(payload, ctx)` for each message.
 *
 * The message is acknowledged after the promise of the handler has resolved. When it rejects, the message stays pending and is delivered again after about
 * `minIdle`, to any consumer of the group, until its attempts are used up: then it becomes a dead letter. Guards, pipes,
 * interceptors and filters of the handler and its class apply, with the context type `redis-stream`.
 *
 * @throws OptionsError where the class is defined, for wrong options
 */
export function StreamHandler<Payload>(event: StreamEvent<Payload>, options: StreamHandlerOptions = {}) {
  const where = `@StreamHandler(${event.type})`;
  checkKnownKeys(options, ['retry'], where);
  const { retry = {} } = options;
  checkKnownKeys(retry, ['attempts'], `${where}.retry`);
  if (retry.attempts !== undefined) checkInteger(retry.attempts, `${where}.retry.attempts`, 1, 10_000);
  const metadata: HandlerMetadata = Object.freeze({ event, attempts: retry.attempts });

  return <Method extends (payload: Payload, ctx: StreamContext) => unknown>(
    target: object,
    propertyKey: string,
    descriptor: TypedPropertyDescriptor<Method>,
  ): void => {
    if (descriptor.value !== undefined) Reflect.defineMetadata(metadataKey, metadata, descriptor.value);
    // On the prototype, too, where no decorator above can cover it.
    Reflect.defineMetadata(recordKey, [...ownRecords(target), { propertyKey, metadata }], target);
    describePositionalParameters(target.constructor, propertyKey);
  };
}

export function handlerMetadataOf(method: object): HandlerMetadata | undefined {
  return Reflect.getMetadata(metadataKey, method) as HandlerMetadata | undefined;
}

/** The handlers of a class and of all it inherits from. A method decorated anew in a subclass stands for those it overrides. */
export function recordedHandlersOf(prototype: object): RecordedHandler[] {
  const own = ownRecords(prototype);
  const parent: unknown = Object.getPrototypeOf(prototype);
  const inherited = typeof parent === 'object' && parent !== null ? recordedHandlersOf(parent) : [];
  const decoratedAnew = new Set(own.map(({ propertyKey }) => propertyKey));
  return [...own, ...inherited.filter(({ propertyKey }) => !decoratedAnew.has(propertyKey))];
}

function ownRecords(prototype: object): RecordedHandler[] {
  // Only StreamHandler writes it.
  return (Reflect.getOwnMetadata(recordKey, prototype) as RecordedHandler[] | undefined) ?? [];
}
