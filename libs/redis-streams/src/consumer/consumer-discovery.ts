import type { DiscoveryService } from '@nestjs/core';
import { MetadataScanner } from '@nestjs/core';
import { OptionsError } from '@redstart/redis-core';
import { consumerMetadataOf, type ConsumerMetadata } from '../decorators/stream-consumer.js';
import { handlerMetadataOf, recordedHandlersOf, type HandlerMetadata } from '../decorators/stream-handler.js';
import type { HandlerMethod } from './handler-factory.js';

/** A class with `@StreamConsumer`, and its handlers. */
export interface DiscoveredConsumer {
  readonly className: string;
  readonly metadata: ConsumerMetadata;
  readonly handlers: readonly (HandlerMetadata & { readonly method: HandlerMethod })[];
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
    if (metadata === undefined && handlers.length === 0) return [];
    return [check({ className: type.name, metadata, handlers })];
  });
}

function handlersOf(prototype: object): (HandlerMetadata & { methodName: string })[] {
  return new MetadataScanner().getAllMethodNames(prototype).flatMap((methodName) => {
    const method: unknown = Reflect.get(prototype, methodName);
    const handler = typeof method === 'function' ? handlerMetadataOf(method) : undefined;
    return handler === undefined ? [] : [{ ...handler, methodName }];
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
      `was given @StreamHandler(${metadata.event.type}), but the method found there does not bear its metadata, so it would never be called. ` +
        'When a decorator above replaces the method, put @StreamHandler on top, or let that decorator copy the metadata of the method it replaces. ' +
        'An override needs its own @StreamHandler, and a method takes only one.',
    );
  }
}

function check(
  found: Omit<DiscoveredConsumer, 'metadata'> & { metadata: ConsumerMetadata | undefined },
): DiscoveredConsumer {
  const { className, metadata, handlers } = found;
  if (metadata === undefined) {
    throw new OptionsError(
      className,
      'has methods with @StreamHandler, but is no @StreamConsumer: they would never be called.',
    );
  }
  if (handlers.length === 0) throw new OptionsError(className, 'is a @StreamConsumer without any @StreamHandler.');
  const seen = new Map<string, string>();
  for (const { event, method } of handlers) {
    if (event.stream !== metadata.stream) {
      throw new OptionsError(
        method.name,
        `handles "${event.type}" of the stream "${event.stream.name}", but ${className} consumes "${metadata.stream.name}".`,
      );
    }
    const other = seen.get(event.type);
    if (other !== undefined) {
      throw new OptionsError(
        method.name,
        `handles "${event.type}", as ${other} does. An event has one handler per group.`,
      );
    }
    seen.set(event.type, method.name);
  }
  return { className, metadata, handlers };
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
