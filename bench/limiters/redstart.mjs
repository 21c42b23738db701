import { NestFactory } from '@nestjs/core';
import { RedisModule } from '@redstart/redis-core';
import { RateLimitService, RedisRateLimitModule, slidingWindow } from '@redstart/redis-ratelimit';

/** Our limits as a Nest application gets them, with their defaults: breaker on, denials remembered, telemetry without a listener. */
export async function openRedstart(url, { limit, windowMs }) {
  const { limiter, close } = await openService(url, { api: slidingWindow({ limit, window: windowMs }) });
  return { consume: (key) => limiter.consume('api', key), close };
}

/**
 * @param {string} url
 * @param {import('@redstart/redis-ratelimit').Policies} policies
 * @returns {Promise<{ limiter: RateLimitService, close: () => Promise<void> }>}
 */
export async function openService(url, policies) {
  const app = await NestFactory.createApplicationContext(
    {
      module: class App {},
      imports: [RedisModule.forRoot({ namespace: 'bench', url }), RedisRateLimitModule.forRoot({ policies })],
    },
    { logger: ['error'] },
  );
  return { limiter: app.get(RateLimitService), close: () => app.close() };
}
