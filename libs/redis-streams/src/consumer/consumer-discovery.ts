import type { DiscoveryService } from '@nestjs/core';
import { MetadataScanner } from '@nestjs/core';
import { OptionsError } from '@redstart/redis-core';
import { consumerMetadataOf, type ConsumerMetadata } from '../decorators/stream-consumer.js';
import { hearsOfDeadLetters } from '../decorators/on-dead-letter.js';
import { handlerMetadataOf, recordedHandlersOf, type HandlerMetadata } from '../decorators/handler-metadata.js';
import { checkPatterns } from './handler-table.js';
import type { HandlerMethod } from './handler-factory.js';

/** A class with `@StreamConsumer`, and its handlers. */
export interface DiscoveredConsumer {
  readonly className: string;
  readonly metadata: ConsumerMetadata;
  readonly handlers: readonly (HandlerMetadata & { readonly method: HandlerMethod })[];
  /** The method that hears of dead letters. */
  readonly onDeadLetter: HandlerMethod | undefined;
}

/**
 * Finds the consumers among the application's providers and controllers.
 *
 * @throws OptionsError for what could never work: handlers in a class that is no consumer, a consumer without handlers, a handler of another stream's event,
 *   two handlers of one event, a handler that is covered by another decorator
 */
export function discoverConsumers(discovery: DiscoveryService): DiscoveredConsumer[] {
  return [...discovery.getProviders(), ...discovery.getControllers()].flatMap((wrapper): DiscoveredConsumer[] => {
    // An alias (useExisting) is a second way to the same instance: it would be read twice.
    if (wrapper.isAlias) return [];
    const instance: unknown = wrapper.isDependencyTreeStatic() ? wrapper.instance : undefined;
    // Of a factory the metatype is the factory; what it returned tells the class.
    const metatype: unknown = wrapper.inject === undefined || wrapper.inject === null ? wrapper.metatype : undefined;
    const type: unknown = metatype ?? (isObject(instance) ? instance.constructor : undefined);
    if (typeof type !== 'function' || !isObject(type.prototype)) return [];
    const metadata = consumerMetadataOf(type);
    refuseCovered(type.name, type.prototype);
    const handlers = handlersOf(type.prototype).map(({ methodName, ...handler }) => ({
      ...handler,
      method: { wrapper, methodName, name: `${type.name}.${methodName}` },
    }));
    const listeners = listenersOf(type.prototype).map((methodName) => ({
      ...{ wrapper, methodName, name: `${type.name}.${methodName}` },
    }));
    if (metadata === undefined && handlers.length === 0 && listeners.length === 0) return [];
    return [check({ className: type.name, metadata, handlers }, listeners)];
  });
}

function handlersOf(prototype: object): (HandlerMetadata & { methodName: string })[] {
  return new MetadataScanner().getAllMethodNames(prototype).flatMap((methodName) => {
    const method: unknown = Reflect.get(prototype, methodName);
    const handler = typeof method === 'function' ? handlerMetadataOf(method) : undefined;
    return handler === undefined ? [] : [{ ...handler, methodName }];
  });
}

function listenersOf(prototype: object): string[] {
  return new MetadataScanner().getAllMethodNames(prototype).filter((methodName) => {
    const method: unknown = Reflect.get(prototype, methodName);
    return typeof method === 'function' && hearsOfDeadLetters(method);
  });
}

/** A handler that nobody finds would have its events acknowledged unhandled. */
function refuseCovered(className: string, prototype: object): void {
  const names = new Set(new MetadataScanner().getAllMethodNames(prototype));
  for (const { propertyKey, metadata } of recordedHandlersOf(prototype)) {
    const method: unknown = names.has(propertyKey) ? Reflect.get(prototype, propertyKey) : undefined;
    if (typeof method === 'function' && handlerMetadataOf(method) === metadata) continue;
    throw new OptionsError(
      `${className}.${propertyKey}`,
      `was given ${metadata.where}, but the method found there does not bear its metadata, so it would never be called. ` +
        'When a decorator above replaces the method, put @StreamHandler on top, or let that decorator copy the metadata of the method it replaces. ' +
        'An override needs its own @StreamHandler, and a method takes only one.',
    );
  }
}

function check(
  found: Pick<DiscoveredConsumer, 'className' | 'handlers'> & { metadata: ConsumerMetadata | undefined },
  [onDeadLetter, another]: readonly HandlerMethod[],
): DiscoveredConsumer {
  const { className, metadata, handlers } = found;
  if (metadata === undefined) {
    throw new OptionsError(
      className,
      'has methods with @StreamHandler or @OnDeadLetter, but is no @StreamConsumer: they would never be called.',
    );
  }
  if (another !== undefined) {
    throw new OptionsError(another.name, 'is a second @OnDeadLetter of its class. Only one method can be told.');
  }
  if (handlers.length === 0) throw new OptionsError(className, 'is a @StreamConsumer without any @StreamHandler.');
  for (const { stream, pattern, method } of handlers) {
    if (stream === undefined || stream === metadata.stream) continue;
    throw new OptionsError(
      method.name,
      `handles "${pattern}" of the stream "${stream.name}", but ${className} consumes "${metadata.stream.name}".`,
    );
  }
  checkPatterns(
    metadata.stream,
    handlers.map((handler) => ({ ...handler, name: handler.method.name })),
  );
  return { className, metadata, handlers, onDeadLetter };
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
