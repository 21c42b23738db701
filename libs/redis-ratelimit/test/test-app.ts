import type { ModuleMetadata } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { Test } from '@nestjs/testing';
import { RedisModule } from '@redstart/redis-core';
import type { TopologyConnection } from '@redstart/redis-testing';
import { createPolicies, RedisRateLimitModule, slidingWindow, type RateLimitOptions } from '../src/index.js';

export type TestApp = NestExpressApplication;

export const testPolicies = createPolicies({
  api: slidingWindow({ limit: 3, window: '1m' }),
  search: slidingWindow({ limit: 5, window: '1h' }),
});

/** An application with Redis and the limits; `logger: false` keeps expected errors out of the output. */
export async function startApp(
  connection: TopologyConnection,
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
  const app = (await testing.compile()).createNestApplication<NestExpressApplication>({ logger: false });
  try {
    return await app.init();
  } catch (error) {
    await app.close();
    throw error;
  }
}
