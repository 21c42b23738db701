import 'reflect-metadata';
import { setTimeout as sleep } from 'node:timers/promises';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { InjectRedis, RedisModule, type RedisClient } from '@redstart/redis-core';
import { RedisStreamsModule } from '@redstart/redis-streams';
import type { TopologyConnection } from '@redstart/redis-testing';
import { endWithSpec, givenOptions, tell, type Report } from '@redstart/redis-testing/programs';
import { defineCache, RedisCacheModule } from '../../src/index.js';
import {
  getWriteBehindToken,
  WriteBehindModule,
  type WriteBehind,
  type WrittenBehind,
} from '../../src/write-behind/index.js';

/** How a spec starts this program: an application that writes behind. Its store is a hash, and takes its time. */
export interface WriterInstanceOptions {
  readonly connection: TopologyConnection;
  readonly keys: number;
  readonly rounds: number;
  readonly storeMs: number;
}

const { connection, keys, rounds, storeMs } = givenOptions() as WriterInstanceOptions;
const counters = defineCache<string, number>('counters', { key: (id) => id });

class CounterStore {
  constructor(@InjectRedis() private readonly redis: RedisClient) {}

  async load(id: string): Promise<number> {
    return Number(await this.redis.hget('store', id));
  }

  async writeMany(values: readonly WrittenBehind<string, number>[]): Promise<void> {
    tell({ event: 'writing', count: values.length });
    await sleep(storeMs);
    await this.redis.hset('store', Object.fromEntries(values.map(({ id, value }) => [id, value])));
  }
}

@Module({ providers: [CounterStore], exports: [CounterStore] })
class StoreModule {}

const feature = RedisCacheModule.forFeature([{ cache: counters, imports: [StoreModule], useExisting: CounterStore }]);

@Module({
  imports: [
    RedisModule.forRoot({ namespace: 'shop', ...connection }),
    RedisCacheModule.forRoot({ budget: '10s' }),
    RedisStreamsModule.forRoot({ service: 'writer', minIdle: '1s', claimInterval: 100, block: 100 }),
    feature,
    WriteBehindModule.forFeature([
      {
        cache: counters,
        imports: [feature, StoreModule],
        useExisting: CounterStore,
        maxWait: 20,
        size: 10,
        budget: '10s',
      },
    ]),
  ],
})
class AppModule {}

process.on('message', (what) => {
  if (what === 'end') void app.close().then(() => process.exit());
  else void writeAll();
});

async function writeAll(): Promise<void> {
  for (let round = 1; round <= rounds; round++) {
    for (let key = 0; key < keys; key++) {
      await counter.write(`k${key}`, round);
      // Told only now, and before the next one: what has not been told may be lost, and that is one write at most.
      await told({ event: 'written', id: `k${key}`, round });
    }
  }
  tell({ event: 'done' });
}

/** Resolves when it is on its way, so that it arrives even if this process is killed: a spec that is slow to listen would leave a long line of them here. */
function told(report: Report): Promise<void> {
  return new Promise((resolve) => {
    process.send?.(report, () => {
      resolve();
    });
  });
}

endWithSpec();
const app = await NestFactory.createApplicationContext(AppModule);
const counter = app.get<WriteBehind<string, number>>(getWriteBehindToken(counters), { strict: false });
tell({ event: 'ready' });
