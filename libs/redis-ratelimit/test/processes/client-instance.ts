import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { RedisModule } from '@redstart/redis-core';
import type { TopologyConnection } from '@redstart/redis-testing';
import { RateLimitExceededError, RateLimitService, RedisRateLimitModule } from '../../src/index.js';
import { policies } from './client-policies.js';
import { endWithSpec, givenOptions, tell } from '@redstart/redis-testing/programs';

/** How a spec starts this program: an application with many clients that are limited, all of them for the same subject. */
export interface ClientInstanceOptions {
  readonly connection: TopologyConnection;
  readonly clients: number;
  readonly callsEach: number;
}

const { connection, clients, callsEach } = givenOptions() as ClientInstanceOptions;

@Module({
  imports: [
    RedisModule.forRoot({ namespace: 'shop', ...connection }),
    // So long that only Redis decides, on whatever machine.
    RedisRateLimitModule.forRoot({ policies, budget: '15s', onError: 'closed' }),
  ],
})
class AppModule {}

endWithSpec();
const app = await NestFactory.createApplicationContext(AppModule);
const limiter = app.get(RateLimitService);

async function isAdmitted(policy: string): Promise<boolean> {
  if (policy !== 'concurrency') return (await limiter.consume(policy, 'everybody')).allowed;
  try {
    await limiter.acquire(policy, 'everybody');
    return true;
  } catch (error) {
    if (error instanceof RateLimitExceededError) return false;
    throw error;
  }
}

async function client(policy: string): Promise<number> {
  let admitted = 0;
  for (let call = 0; call < callsEach; call++) if (await isAdmitted(policy)) admitted++;
  return admitted;
}

process.on('message', (policy: string) => {
  void Promise.all(Array.from({ length: clients }, () => client(policy))).then((admitted) => {
    tell({ event: policy, admitted: admitted.reduce((total, count) => total + count, 0) });
  });
});
tell({ event: 'ready' });
