import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { RedisModule } from '@redstart/redis-core';
import {
  defineStream,
  event,
  getStreamToken,
  RedisStreamsModule,
  StreamConsumer,
  StreamHandler,
} from '@redstart/redis-streams';

export const namespace = 'bench';
export const group = 'bench';
export const keyOf = (stream) => `${namespace}:stream:{${stream}}`;

/** @param {string} name */
export const streamOf = (name) => defineStream(name, { events: { 'order.placed': event() } });

/**
 * An application as users have it, with the defaults: breaker on, telemetry without a listener, heartbeats, retry accounting.
 *
 * @param {string} url
 * @param {{ streams: string[], concurrency?: number, handle?: (message: unknown) => unknown }} options without `handle` it only publishes
 */
export async function openStreams(url, { streams, concurrency = 64, handle }) {
  const definitions = streams.map(streamOf);
  const app = await NestFactory.createApplicationContext(
    {
      module: class App {},
      imports: [
        RedisModule.forRoot({ namespace, url }),
        RedisStreamsModule.forRoot({ service: 'bench' }),
        RedisStreamsModule.forFeature(definitions),
      ],
      providers:
        handle === undefined ? [] : definitions.map((definition) => consumerOf(definition, concurrency, handle)),
    },
    { logger: ['error', 'warn'] },
  );
  const producers = definitions.map((definition) => app.get(getStreamToken(definition)));
  return {
    publish: (message, options, at = 0) => producers[at].publish('order.placed', message, options),
    close: () => app.close(),
  };
}

function consumerOf(definition, concurrency, handle) {
  class Consumer {
    placed(message) {
      return handle(message);
    }
  }
  const method = Object.getOwnPropertyDescriptor(Consumer.prototype, 'placed');
  StreamHandler(definition.event('order.placed'))(Consumer.prototype, 'placed', method);
  StreamConsumer(definition, { group, concurrency })(Consumer);
  return Consumer;
}
