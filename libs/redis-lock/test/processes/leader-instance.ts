import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { RedisModule } from '@redstart/redis-core';
import type { TopologyConnection } from '@redstart/redis-testing';
import { LockService, RedisLockModule } from '../../src/index.js';
import { endWithSpec, givenOptions, tell } from '@redstart/redis-testing/programs';

/** How a spec starts this program: an application that stands for a leadership. */
export interface LeaderInstanceOptions {
  readonly connection: TopologyConnection;
  readonly ttlMs: number;
}

const { connection, ttlMs } = givenOptions() as LeaderInstanceOptions;

@Module({
  imports: [
    RedisModule.forRoot({ namespace: 'shop', ...connection }),
    // So long that only a push or the end of the lease can elect anybody in the time of the spec.
    RedisLockModule.forRoot({ ttl: ttlMs, queueLease: '60s', commandTimeout: '1s' }),
  ],
})
class AppModule {}

endWithSpec();
const app = await NestFactory.createApplicationContext(AppModule);
app.get(LockService).leader('scheduler', {
  onElected: ({ fencingToken }) => {
    tell({ event: 'elected', at: Date.now(), fencingToken });
  },
  onRevoked: (reason) => {
    tell({ event: 'revoked', at: Date.now(), reason });
  },
});
process.on('message', () => {
  void app.close().then(() => {
    tell({ event: 'closed' });
  });
});
tell({ event: 'ready' });
