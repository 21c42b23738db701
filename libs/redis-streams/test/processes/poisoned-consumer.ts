/** A consumer that a message of the number 0 ends, at once and whatever else it works on. What it has handled is in the list `handled`. */
import 'reflect-metadata';
import { Logger, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { getRedisConnectionToken, RedisModule, type RedisConnection } from '@redstart/redis-core';
import { endWithSpec, givenOptions } from '@redstart/redis-testing/programs';
import { defineStream, event, RedisStreamsModule, StreamConsumer, StreamHandler } from '../../src/index.js';

export interface PoisonedOptions {
  readonly url: string;
  readonly partitions?: number;
}

endWithSpec();
const { url, partitions } = givenOptions() as PoisonedOptions;
const jobs = defineStream('jobs', {
  events: { job: event<{ n: number }>() },
  ...(partitions === undefined ? {} : { partitions }),
});
const connection: { redis?: RedisConnection } = {};

@StreamConsumer(jobs, { group: 'workers' })
class Worker {
  @StreamHandler('job')
  async job({ n }: { n: number }) {
    if (n === 0) process.exit(7);
    await connection.redis?.client.rpush('handled', n);
  }
}

Logger.overrideLogger(false);

@Module({})
class WorkerModule {}

const app = await NestFactory.createApplicationContext({
  module: WorkerModule,
  imports: [
    RedisModule.forRoot({ namespace: 'shop', url }),
    RedisStreamsModule.forRoot({
      ...{ service: 'test', maxDeliveries: 2, minIdle: '600ms', claimInterval: 100, block: 100 },
    }),
    RedisStreamsModule.forFeature([jobs]),
  ],
  providers: [Worker],
});
connection.redis = app.get<RedisConnection>(getRedisConnectionToken());
