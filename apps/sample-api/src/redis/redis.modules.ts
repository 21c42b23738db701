import type { DynamicModule } from '@nestjs/common';
import { RedisCacheModule } from '@redstart/redis-cache';
import { RedisModule } from '@redstart/redis-core';
import { RedisLockModule } from '@redstart/redis-lock';
import { createPolicies, RedisRateLimitModule, slidingWindow } from '@redstart/redis-ratelimit';
import { RedisStreamsModule } from '@redstart/redis-streams';
import type { AppConfig } from '../config/app-config.js';

/** One connection, and every pattern of Redstart on it. All of them are global: feature modules only use decorators and services. */
export function redisModules(config: AppConfig): DynamicModule[] {
  return [
    RedisModule.forRoot({ namespace: 'flights', url: config.redisUrl, startupTimeout: '5s' }),
    RedisCacheModule.forRoot({ ttl: '10m' }),
    RedisLockModule.forRoot({ ttl: '10s' }),
    RedisRateLimitModule.forRoot({
      policies: createPolicies({ search: slidingWindow({ limit: config.searchesPerMinute, window: '1m' }) }),
    }),
    RedisStreamsModule.forRoot({ service: 'flight-booking' }),
  ];
}
