import { Redis } from 'ioredis';
import { RedisConnections, RedisModule } from '@redstart/redis-core';
import { NestFactory } from '@nestjs/core';
import { compare } from './lib/compare.mjs';

/** The batch of one tick: GET of a 20-byte value on our request client, and through `connection.call`, against plain ioredis. */
export async function coreBenches({ url, counters, rounds, publish }) {
  const [raw, twin] = [new Redis(url), new Redis(url)];
  const app = await NestFactory.createApplicationContext(
    { module: class App {}, imports: [RedisModule.forRoot({ namespace: 'bench', url })] },
    { logger: ['error'] },
  );
  const connection = app.get(RedisConnections).get();
  const { client } = connection;
  const call = { library: 'bench', operation: 'bench.get', budgetMs: 1_000 };
  await raw.set('bench:key', 'a value of 20 bytes.');
  const plain = () => raw.get('bench:key');
  const ways = {
    client: { name: 'our request client', get: () => client.get('bench:key') },
    call: {
      name: 'connection.call (budget, breaker)',
      get: () => connection.call(call, (redis) => redis.get('bench:key')),
    },
    control: { name: 'plain ioredis again', get: () => twin.get('bench:key') },
  };
  const measure = async (concurrency, bars) => {
    const contenders = Object.entries(bars).map(([way, atLeast]) => [ways[way].name, ways[way].get, atLeast]);
    publish(
      await compare({
        title: 'GET',
        text: 'GET of a value of 20 bytes.',
        concurrency,
        // At one in flight nearly all of a GET is waiting, for the network stack and the scheduler: longer slices, and plain ioredis against itself to show
        // what the noise of the machine is.
        sliceMs: concurrency === 1 ? 600 : 250,
        contenders: Object.fromEntries([['ioredis', plain], ...contenders]),
        bars: Object.fromEntries(contenders.map(([name, , atLeast]) => [name, { atLeast }])),
        counters,
        rounds,
      }),
    );
  };
  await measure(64, { client: 1.7, call: 1.5 });
  await measure(1, { control: 0.97, client: 0.97, call: 0.9 });
  raw.disconnect();
  twin.disconnect();
  await app.close();
}
