import type { DynamicModule } from '@nestjs/common';
import { RedisCacheModule } from '@redstart/redis-cache';
import { RedisModule } from '@redstart/redis-core';
import { RedisLockModule } from '@redstart/redis-lock';
import { createPolicies, gcra, RedisRateLimitModule, slidingWindow } from '@redstart/redis-ratelimit';
import { RedisStreamsModule } from '@redstart/redis-streams';
import type { AppConfig } from '../config/app-config.js';

/** One connection, and every pattern of Redstart on it. All of them are global: feature modules only use decorators and services. */
export function redisModules(config: AppConfig): DynamicModule[] {
  return [
    RedisModule.forRoot({ namespace: 'flights', url: config.redisUrl, startupTimeout: '5s' }),
    RedisCacheModule.forRoot({ ttl: '10m' }),
    // A command may take a tenth of the ttl: two to take the lock and one to give it back keep a booking below two seconds while Redis hangs.
    RedisLockModule.forRoot({ ttl: '5s' }),
    RedisRateLimitModule.forRoot({
      policies: createPolicies({
        search: slidingWindow({ limit: config.searchesPerMinute, window: '1m' }),
        // One more comes back every few moments, so that who has booked a lot is not shut out for the rest of a minute.
        booking: gcra({ rate: config.bookingsPerMinute, per: '1m' }),
      }),
    }),
    // A ticket takes milliseconds. What a process that died has left is taken over soon, and tried for as long as the database may be away.
    RedisStreamsModule.forRoot({ service: 'flight-booking', minIdle: '5s', retry: { attempts: 60 } }),
  ];
}
