import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Cron, ScheduleModule } from '@nestjs/schedule';
import { RedisModule } from '@redstart/redis-core';
import { CronLock, RedisLockModule } from '../../src/index.js';
import { endWithSpec, givenOptions, tell } from '@redstart/redis-testing/programs';

/** How a spec starts this program: an application with scheduled jobs, on a host whose clock is wrong. */
export interface CronInstanceOptions {
  readonly url: string;
  readonly skewMs: number;
}

const { url, skewMs } = givenOptions() as CronInstanceOptions;
const everyThreeSeconds = '*/3 * * * * *';
let hangs = false;

const trueTime = Date.now;
Date.now = () => trueTime() + skewMs;

/** The tick that this host believes in, for at most 2.5 s after its beginning: the same number on every host, however wrong its clock. */
function tick(): number {
  return Math.floor((Date.now() + 500) / 3_000);
}

@Injectable()
class Jobs {
  @Cron(everyThreeSeconds)
  unlocked(): void {
    tell({ event: 'fired', tick: tick(), at: trueTime() });
  }

  @Cron(everyThreeSeconds)
  @CronLock('report', { atLeast: '2200ms' })
  report(): Promise<void> {
    tell({ event: 'ran', tick: tick(), at: trueTime() });
    return Promise.resolve();
  }

  @CronLock('hanging', { atLeast: '500ms' })
  @Cron(everyThreeSeconds)
  async hang(): Promise<void> {
    if (!hangs) return;
    tell({ event: 'hangs', tick: tick(), at: trueTime() });
    await new Promise(() => undefined);
  }
}

@Module({
  imports: [
    RedisModule.forRoot({ namespace: 'shop', url }),
    RedisLockModule.forRoot({ ttl: '1500ms', commandTimeout: '1s' }),
    ScheduleModule.forRoot(),
  ],
  providers: [Jobs],
})
class AppModule {}

process.on('message', () => {
  hangs = true;
});
endWithSpec();
await NestFactory.createApplicationContext(AppModule);
tell({ event: 'ready' });
