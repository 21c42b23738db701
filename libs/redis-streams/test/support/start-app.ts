import type { LoggerService, ModuleMetadata, Provider, Type } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import { RedisModule, type RedisClient, type RedisModuleOptions } from '@redstart/redis-core';
import type { TopologyConnection } from '@redstart/redis-testing';
import { RedisStreamsModule, type RedisStreamsOptions, type StreamDefinition } from '../../src/index.js';

export interface AppOptions {
  connection: (TopologyConnection | { client: RedisClient }) & Pick<RedisModuleOptions, 'breaker'>;
  streams: StreamDefinition[];
  consumers?: (Type | Provider)[];
  controllers?: Type[];
  imports?: NonNullable<ModuleMetadata['imports']>;
  options?: Partial<RedisStreamsOptions>;
  /** Who is told what goes wrong, from the first moment on. Nobody by default. */
  logger?: LoggerService;
}

/**
 * Waits that no machine is too slow for. Nothing gets old by itself within a test: what another consumer is to take over is aged by it (`age`), and the sweeps that
 * find it come often.
 */
export const patient = {
  service: 'test',
  minIdle: '30s',
  claimInterval: 100,
  block: 500,
  drainTimeout: '5s',
  publishTimeout: '10s',
} as const;

const open = new Set<TestingModule>();

export function compileApp(app: AppOptions): Promise<TestingModule> {
  return Test.createTestingModule({
    imports: [
      RedisModule.forRoot({ namespace: 'shop', ...app.connection, shutdownTimeout: 200 }),
      RedisStreamsModule.forRoot({ ...patient, ...app.options }),
      RedisStreamsModule.forFeature(app.streams),
      ...(app.imports ?? []),
    ],
    providers: app.consumers ?? [],
    controllers: app.controllers ?? [],
  })
    .setLogger(false as never)
    .compile();
}

/** A booted application, closed by {@link closeApps}. */
export async function startApp(app: AppOptions): Promise<TestingModule> {
  const module = await compileApp(app);
  module.useLogger(app.logger ?? false);
  open.add(module);
  await module.init();
  return module;
}

export async function closeApp(module: TestingModule): Promise<void> {
  open.delete(module);
  await module.close();
}

/** Closes the applications at the end of a test, before the server that was started above it goes. */
export const closingApps = (): AsyncDisposable => ({ [Symbol.asyncDispose]: closeApps });

export async function closeApps(): Promise<void> {
  await Promise.all([...open].map(closeApp));
}
