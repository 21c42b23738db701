import 'reflect-metadata';
import { setTimeout as sleep } from 'node:timers/promises';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { RedisModule } from '@redstart/redis-core';
import type { TopologyConnection } from '@redstart/redis-testing';
import { CacheService, RedisCacheModule } from '../../src/index.js';
import { endWithSpec, givenOptions, tell } from '@redstart/redis-testing/programs';

/** How a spec starts this program: an application with many callers of one key, and a loader that takes its time. */
export interface CallerInstanceOptions {
  readonly connection: TopologyConnection;
  readonly callers: number;
  readonly loadMs: number;
  readonly leaseMs: number;
}

const { connection, callers, loadMs, leaseMs } = givenOptions() as CallerInstanceOptions;

@Module({
  imports: [
    RedisModule.forRoot({ namespace: 'shop', ...connection }),
    RedisCacheModule.forRoot({ lease: leaseMs, budget: '10s' }),
  ],
})
class AppModule {}

async function load(): Promise<string> {
  tell({ event: 'loading', at: Date.now() });
  await sleep(loadMs);
  return `loaded by ${process.pid}`;
}

process.on('message', () => {
  const calls = Array.from({ length: callers }, () => cache.getOrSet('cold', load));
  Promise.all(calls).then(
    (values) => {
      tell({ event: 'served', at: Date.now(), values: [...new Set(values)], loads: cache.stats().loads });
    },
    (error: unknown) => {
      tell({ event: 'failed', reason: String(error) });
    },
  );
});
endWithSpec();
const app = await NestFactory.createApplicationContext(AppModule);
const cache = app.get(CacheService);
tell({ event: 'ready' });
