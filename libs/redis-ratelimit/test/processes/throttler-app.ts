import 'reflect-metadata';
import { Controller, Get, Module, type ExecutionContext } from '@nestjs/common';
import { APP_GUARD, NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import {
  SkipThrottle,
  Throttle,
  ThrottlerGuard,
  ThrottlerModule,
  type ThrottlerModuleOptions,
  type ThrottlerOptions,
} from '@nestjs/throttler';
import { RedisModule, type Duration } from '@redstart/redis-core';
import { RedisRateLimitModule, RedisThrottlerStorage, type OnError } from '../../src/index.js';

/** How a spec starts this program: an application behind the guard of @nestjs/throttler. */
export interface ThrottlerAppOptions {
  readonly url: string;
  readonly adapter: 'express' | 'fastify';
  /** `memory` is throttler's own storage, for comparison. */
  readonly storage: 'redis' | 'memory';
  readonly onError?: OnError;
  /** Long enough that a busy machine is no outage. */
  readonly budget: Duration;
}

const { url, adapter, storage, onError, budget } = JSON.parse(process.argv[2] ?? '{}') as ThrottlerAppOptions;

function headers(context: ExecutionContext): Record<string, string | undefined> {
  return context.switchToHttp().getRequest<{ headers: Record<string, string | undefined> }>().headers;
}

/** A throttler whose numbers stand in the request; without them it is skipped. */
function byHeader(name: string): ThrottlerOptions {
  const number = (option: string) => (context: ExecutionContext) => Number(headers(context)[`x-${name}-${option}`]);
  return {
    name,
    limit: number('limit'),
    ttl: number('ttl'),
    blockDuration: number('block'),
    skipIf: (context) => headers(context)[`x-${name}-limit`] === undefined,
  };
}

const throttlers: ThrottlerOptions[] = [
  byHeader('default'),
  byHeader('burst'),
  // No blockDuration: it is the ttl, then.
  { name: 'plain', limit: 2, ttl: 60_000, skipIf: (context) => headers(context)['x-plain'] === undefined },
  { ...byHeader('quiet'), setHeaders: false },
];

@Controller()
class FlightsController {
  @Get('flights')
  flights(): string {
    return 'flights';
  }

  @Throttle({ plain: { limit: 1, ttl: 30_000 } })
  @Get('search')
  search(): string {
    return 'search';
  }

  @SkipThrottle({ plain: true })
  @Get('health')
  health(): string {
    return 'health';
  }
}

const options: Omit<Extract<ThrottlerModuleOptions, { throttlers: unknown }>, 'storage'> = {
  throttlers,
  getTracker: (_request, context) => headers(context)['x-client'] ?? 'nobody',
};

@Module({
  imports: [
    RedisModule.forRoot({ namespace: 'shop', url, startup: 'lazy' }),
    RedisRateLimitModule.forRoot({ budget, ...(onError !== undefined && { onError }) }),
    storage === 'memory'
      ? ThrottlerModule.forRoot(options)
      : ThrottlerModule.forRootAsync({
          inject: [RedisThrottlerStorage],
          useFactory: (shared: RedisThrottlerStorage) => ({ ...options, storage: shared }),
        }),
  ],
  controllers: [FlightsController],
  providers: [{ provide: APP_GUARD, useClass: ThrottlerGuard }],
})
class AppModule {}

// It ends with the process that has started it.
process.on('disconnect', () => process.exit());

const app =
  adapter === 'express'
    ? await NestFactory.create(AppModule, new ExpressAdapter())
    : await NestFactory.create<NestFastifyApplication>(AppModule, new FastifyAdapter());
await app.listen(0, '127.0.0.1');
process.send?.(await app.getUrl());
