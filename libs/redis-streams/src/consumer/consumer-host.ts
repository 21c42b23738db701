import type { BeforeApplicationShutdown, OnApplicationBootstrap, OnModuleDestroy } from '@nestjs/common';
import { OptionsError } from '@redstart/redis-core';
import type { RedisStreams } from '../streams.service.js';
import { discoverConsumers, type DiscoveredConsumer } from './consumer-discovery.js';
import { GroupConsumer } from './group-consumer.js';
import { resolveRetry } from './retry-policy.js';
import { traced } from '../telemetry/handling-channel.js';
import { HandlerFactory, type NestParts } from './handler-factory.js';

/**
 * Brings the consumers of an application to life, and to rest.
 *
 * When the application has booted it finds the classes with `@StreamConsumer`, and *starts* one consumer each. `onModuleDestroy` *stops* the reading, so that no
 * new message begins; `beforeApplicationShutdown` *drains*: it waits for the handlers that run, within `drainTimeout`, while the application's other parts still work.
 * The connection closes after that. With `consumers: false` the classes are checked, but nothing starts.
 */
export class ConsumerHost implements OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown {
  readonly #streams: RedisStreams;
  readonly #nest: NestParts;
  #consumers: GroupConsumer[] = [];

  constructor(streams: RedisStreams, nest: NestParts) {
    this.#streams = streams;
    this.#nest = nest;
  }

  get consumers(): readonly GroupConsumer[] {
    return this.#consumers;
  }

  async onApplicationBootstrap(): Promise<void> {
    const found = discoverConsumers(this.#nest.discovery).filter(({ metadata }) => this.#streams.has(metadata.stream));
    refuseSharedGroups(found);
    if (!this.#streams.options.consumers) return;
    const factory = new HandlerFactory(this.#nest, this.#streams.options.globalEnhancers);
    this.#consumers = found.map((consumer) => this.#consumerOf(consumer, factory));
    await Promise.all(this.#consumers.map((consumer) => consumer.start()));
  }

  async onModuleDestroy(): Promise<void> {
    await Promise.all(this.#consumers.map((consumer) => consumer.stop()));
  }

  async beforeApplicationShutdown(): Promise<void> {
    await Promise.all(this.#consumers.splice(0).map((consumer) => consumer.drain()));
  }

  #consumerOf({ metadata, handlers, onDeadLetter }: DiscoveredConsumer, factory: HandlerFactory): GroupConsumer {
    const { retry: defaults } = this.#streams.options;
    const methods = handlers.map(({ method, where, retry, ...handler }) => ({
      ...handler,
      name: method.name,
      retry: resolveRetry(retry, `${where}.retry`, defaults),
      invoke: traced(factory.create(method)),
    }));
    return new GroupConsumer(this.#streams, metadata, {
      handlers: methods,
      onDeadLetter: onDeadLetter && { name: onDeadLetter.name, invoke: factory.create(onDeadLetter) },
    });
  }
}

/** Two classes would share the messages between them, and each acknowledge those that only the other one handles. */
function refuseSharedGroups(found: readonly DiscoveredConsumer[]): void {
  const owners = new Map<string, string>();
  for (const { className, metadata } of found) {
    const group = JSON.stringify([metadata.stream.name, metadata.group]);
    const owner = owners.get(group);
    if (owner !== undefined) {
      throw new OptionsError(
        `@StreamConsumer(${metadata.stream.name}, { group: '${metadata.group}' })`,
        `is on ${owner} and on ${className}. A group has one class per application (provided once): put the handlers together, or give one of them another group.`,
      );
    }
    owners.set(group, className);
  }
}
