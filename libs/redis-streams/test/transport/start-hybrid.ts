import type { INestApplication, Type } from '@nestjs/common';
import { ClientsModule, type ClientProxy } from '@nestjs/microservices';
import type { RedisClient } from '@redstart/redis-core';
import type { TopologyConnection } from '@redstart/redis-testing';
import { RedisStreams, type RedisStreamsOptions, type StreamDefinition } from '../../src/index.js';
import { RedisStreamsClient, RedisStreamsServer, type RedisStreamsServerOptions } from '../../src/transport/index.js';
import { orders } from '../support/orders.js';
import { compileApp } from '../support/start-app.js';

export interface Hybrid {
  connection: TopologyConnection | { client: RedisClient };
  controllers: Type[];
  stream?: StreamDefinition | string;
  options?: Partial<RedisStreamsOptions>;
  server?: Partial<RedisStreamsServerOptions>;
}

export interface StartedHybrid {
  readonly app: INestApplication;
  readonly client: ClientProxy;
  /** One that waits for replies no longer than 300 ms. */
  readonly impatient: ClientProxy;
}

const open = new Set<INestApplication>();

/** An application that serves a stream, if it has handlers, and calls it. */
export async function startHybrid({
  connection,
  controllers,
  stream = 'orders',
  options = {},
  server = {},
}: Hybrid): Promise<StartedHybrid> {
  const client = (name: string, timeout: number) => ({
    name,
    inject: [RedisStreams],
    useFactory: (streams: RedisStreams) => ({
      customClass: RedisStreamsClient,
      options: { streams, stream, timeout },
    }),
  });
  const module = await compileApp({
    connection,
    controllers,
    streams: [orders],
    imports: [ClientsModule.registerAsync([client('PATIENT', 30_000), client('IMPATIENT', 300)])],
    options,
  });
  const app = module.createNestApplication();
  app.useLogger(false);
  open.add(app);
  const streams = app.get(RedisStreams);
  app.connectMicroservice({ strategy: new RedisStreamsServer({ streams, stream, group: 'billing', ...server }) });
  await app.startAllMicroservices();
  await app.init();
  return { app, client: app.get('PATIENT'), impatient: app.get('IMPATIENT') };
}

export async function closeHybrids(): Promise<void> {
  const apps = [...open];
  open.clear();
  await Promise.all(apps.map((app) => app.close()));
}
