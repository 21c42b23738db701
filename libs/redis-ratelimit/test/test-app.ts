import type { LoggerService, ModuleMetadata } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { Test } from '@nestjs/testing';
import { RedisModule, type RedisModuleOptions } from '@redstart/redis-core';
import { createPolicies, RedisRateLimitModule, slidingWindow, type RateLimitOptions } from '../src/index.js';

export type TestApp = NestExpressApplication;

export const testPolicies = createPolicies({
  api: slidingWindow({ limit: 3, window: '1m' }),
  search: slidingWindow({ limit: 5, window: '1h' }),
});

/** Errors are expected here, so they stay out of the output. */
export const silent: LoggerService = { log: () => undefined, warn: () => undefined, error: () => undefined };

/** An application with Redis and the limits. */
export async function startApp(
  connection: Omit<RedisModuleOptions, 'namespace'>,
  { policies = testPolicies, ...options }: Partial<RateLimitOptions>,
  metadata: ModuleMetadata = {},
): Promise<TestApp> {
  const testing = Test.createTestingModule({
    ...metadata,
    imports: [
      RedisModule.forRoot({ namespace: 'test', ...connection }),
      RedisRateLimitModule.forRoot({ policies, ...options }),
      ...(metadata.imports ?? []),
    ],
  });
  const app = (await testing.setLogger(silent).compile()).createNestApplication<NestExpressApplication>();
  try {
    return await app.init();
  } catch (error) {
    await app.close();
    throw error;
  }
}
