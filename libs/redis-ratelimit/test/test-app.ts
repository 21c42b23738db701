import type { LoggerService, ModuleMetadata } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { Test, type TestingModule } from '@nestjs/testing';
import { RedisModule, type RedisModuleOptions } from '@redstart/redis-core';
import { createPolicies, RedisRateLimitModule, slidingWindow, type RateLimitOptions } from '../src/index.js';

export type TestApp = NestExpressApplication;

export const testPolicies = createPolicies({
  api: slidingWindow({ limit: 3, window: '1m' }),
  search: slidingWindow({ limit: 5, window: '1h' }),
});

/** Errors are expected here, so they stay out of the output. */
export const silent: LoggerService = { log: () => undefined, warn: () => undefined, error: () => undefined };

/** The modules of an application with Redis and the limits; its kind of server is the caller's to choose. */
export function compileApp(
  connection: Omit<RedisModuleOptions, 'namespace'>,
  { policies = testPolicies, ...options }: Partial<RateLimitOptions>,
  metadata: ModuleMetadata = {},
): Promise<TestingModule> {
  const testing = Test.createTestingModule({
    ...metadata,
    imports: [
      RedisModule.forRoot({ namespace: 'test', ...connection }),
      RedisRateLimitModule.forRoot({ policies, ...options }),
      ...(metadata.imports ?? []),
    ],
  });
  return testing.setLogger(silent).compile();
}

/** An application with Redis and the limits. */
export async function startApp(...described: Parameters<typeof compileApp>): Promise<TestApp> {
  const app = (await compileApp(...described)).createNestApplication<NestExpressApplication>();
  try {
    return await app.init();
  } catch (error) {
    await app.close();
    throw error;
  }
}
