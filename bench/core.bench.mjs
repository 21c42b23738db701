import { Redis } from 'ioredis';
import { RedisConnections, RedisModule } from '@redstart/redis-core';
import { NestFactory } from '@nestjs/core';
import { interleave } from './lib/interleave.mjs';

/** The batch of one tick: GET of a 20-byte value on our request client, and through `connection.call`, against plain ioredis. */
export async function coreBenches(url) {
  const [raw, twin] = [new Redis(url), new Redis(url)];
  const app = await NestFactory.createApplicationContext(
    { module: class App {}, imports: [RedisModule.forRoot({ namespace: 'bench', url })] },
    { logger: ['error'] },
  );
  const connection = app.get(RedisConnections).get();
  const { client } = connection;
  const call = { library: 'bench', operation: 'bench.get', budgetMs: 1_000 };
  await raw.set('bench:key', 'a value of 20 bytes.');
  const get = {
    raw: () => raw.get('bench:key'),
    twin: () => twin.get('bench:key'),
    client: () => client.get('bench:key'),
    call: () => connection.call(call, (redis) => redis.get('bench:key')),
  };
  // At one in flight nearly all of a GET is waiting, for the network stack and the scheduler: longer slices, and plain ioredis against itself to
  // show what the machine's noise is.
  const sliceMs = 600;
  const rows = [
    await interleave({ name: 'GET on the request client', concurrency: 64, bar: 1.7, raw: get.raw, ours: get.client }),
    await interleave({
      name: 'GET of plain ioredis (control)',
      concurrency: 1,
      sliceMs,
      bar: 0.97,
      raw: get.raw,
      ours: get.twin,
    }),
    await interleave({
      name: 'GET on the request client',
      concurrency: 1,
      sliceMs,
      bar: 0.97,
      raw: get.raw,
      ours: get.client,
    }),
    await interleave({
      name: 'GET by connection.call (budget, breaker)',
      concurrency: 64,
      bar: 1.5,
      raw: get.raw,
      ours: get.call,
    }),
    await interleave({
      name: 'GET by connection.call (budget, breaker)',
      concurrency: 1,
      sliceMs,
      bar: 0.9,
      raw: get.raw,
      ours: get.call,
    }),
  ];
  raw.disconnect();
  twin.disconnect();
  await app.close();
  return rows;
}
