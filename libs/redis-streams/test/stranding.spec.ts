import type { LoggerService } from '@nestjs/common';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import {
  defineStream,
  event,
  getStreamToken,
  StreamAdmin,
  StreamConsumer,
  StreamHandler,
  type StreamConsumerOptions,
  type StreamProducer,
} from '../src/index.js';
import { orders, type OrderCreated } from './support/orders.js';
import { consumers, ordersKey, pending } from './support/read-redis.js';
import { closeApps, startApp, type AppOptions } from './support/start-app.js';

afterEach(closeApps);

const stock = defineStream('stock', { events: { moved: event<number>() } });
const retryKey = `${ordersKey}:retry:billing`;

function billing(
  seen: number[],
  options: Omit<StreamConsumerOptions, 'group'> = {},
  run: () => unknown = () => undefined,
) {
  @StreamConsumer(orders, { group: 'billing', ...options })
  class Billing {
    @StreamHandler(orders.event('order.created'))
    created({ id }: OrderCreated) {
      seen.push(id);
      return run();
    }
  }
  return Billing;
}

/** A logger that writes down the warnings. */
const noting = (warnings: string[]): LoggerService => {
  const log = () => undefined;
  return { log, error: log, warn: (message: unknown) => warnings.push(String(message)) };
};

describeOn(standalone, cluster)('consumers that are gone', (redis) => {
  it('lose their records when nothing is pending under them, and never what is', async () => {
    const client = redis.client();
    const ids = [];
    for (const id of [1, 2]) ids.push(await client.xadd(ordersKey, '*', 't', 'order.created', 'd', `{"id":${id}}`));
    await client.xgroup('CREATE', ordersKey, 'billing', '0');
    await client.xreadgroup('GROUP', 'billing', 'idle', 'COUNT', 1, 'STREAMS', ordersKey, '>');
    await client.xack(ordersKey, 'billing', ids[0] ?? '');
    await client.xreadgroup('GROUP', 'billing', 'holding', 'COUNT', 1, 'STREAMS', ordersKey, '>');
    expect((await consumers(client)).toSorted()).toEqual(['holding', 'idle']);
    // Nothing is old enough to be taken over.
    const options = { forgetConsumersAfter: '1s', block: 50, minIdle: '60s' } as const;
    await startApp({ connection: redis.connection, streams: [orders], consumers: [billing([])], options });
    await eventually(async () => {
      expect(await consumers(client)).not.toContain('idle');
    });
    expect(await consumers(client)).toContain('holding');
    expect(await pending(client)).toMatchObject([{ id: ids[1], consumer: 'holding' }]);
  });
});

describeOn(standalone, cluster)('a key of the wrong type', (redis) => {
  it('stops its own stream only, loudly, and that one goes on when the key is free', async () => {
    const client = redis.client();
    const seen: number[] = [];
    const moved: number[] = [];
    @StreamConsumer(stock, { group: 'billing' })
    class Stock {
      @StreamHandler(stock.event('moved'))
      moved(by: number) {
        moved.push(by);
      }
    }
    const warnings: string[] = [];
    const app = await startApp({
      connection: redis.connection,
      streams: [orders, stock],
      consumers: [billing(seen), Stock],
      logger: noting(warnings),
      options: { block: 100 },
    });
    await client.set(ordersKey, 'foreign');
    await app.get<StreamProducer<typeof stock>>(getStreamToken(stock)).publish('moved', 3);
    await eventually(() => {
      expect(moved).toEqual([3]);
    });
    await eventually(() => {
      expect(warnings.join()).toContain(`The key "${ordersKey}" holds no stream`);
    });
    expect(await client.get(ordersKey)).toBe('foreign');
    await client.del(ordersKey);
    await app.get<StreamProducer<typeof orders>>(getStreamToken(orders)).publish('order.created', { id: 1 });
    await eventually(() => {
      expect(seen).toEqual([1]);
    });
  });

  it('leaves the stream alone when it is that of the retries', async () => {
    const client = redis.client();
    const seen: number[] = [];
    const app = await startApp({
      connection: redis.connection,
      streams: [orders],
      consumers: [billing(seen)],
      options: { block: 100 },
    });
    await client.set(retryKey, 'foreign');
    const producer = app.get<StreamProducer<typeof orders>>(getStreamToken(orders));
    await producer.publish('order.created', { id: 1 });
    await eventually(() => {
      expect(seen).toEqual([1]);
    });
    // What a replay puts there is read as soon as it can be there.
    await client.del(retryKey);
    await client.xadd(retryKey, '*', 'o', '1-1', 'a', '0', 't', 'order.created', 'd', '{"id":2}');
    await eventually(() => {
      expect(seen).toEqual([1, 2]);
    });
    await eventually(async () => (await pending(client, 'billing', retryKey)).length === 0);
  });

  it('becomes known also when the stream was replaced while it was being read', async () => {
    const client = redis.client();
    const seen: number[] = [];
    const app = await startApp({
      connection: redis.connection,
      streams: [orders],
      consumers: [billing(seen)],
      options: { block: 100 },
    });
    const producer = app.get<StreamProducer<typeof orders>>(getStreamToken(orders));
    await producer.publish('order.created', { id: 1 });
    await eventually(async () => seen.length === 1 && (await pending(client)).length === 0);
    await client.set(ordersKey, 'foreign');
    await expect(producer.publish('order.created', { id: 2 })).rejects.toThrow('WRONGTYPE');
    await client.del(ordersKey);
    await producer.publish('order.created', { id: 3 });
    await eventually(() => {
      expect(seen).toEqual([1, 3]);
    });
  });
});

describeOn(standalone, cluster)('a paused group', (redis) => {
  async function start(
    options: Partial<AppOptions['options']> = {},
    consumer: Omit<StreamConsumerOptions, 'group'> = {},
  ) {
    const seen: number[] = [];
    const finish: (() => void)[] = [];
    const run = () => new Promise<void>((resolve) => finish.push(resolve));
    const app = await startApp({
      connection: redis.connection,
      streams: [orders],
      consumers: [billing(seen, consumer, run)],
      options: { drainTimeout: 0, ...options },
    });
    const producer = app.get<StreamProducer<typeof orders>>(getStreamToken(orders));
    const finishAll = () => {
      for (const end of finish.splice(0)) end();
    };
    return { seen, producer, finishAll, admin: app.get(StreamAdmin), client: redis.client() };
  }

  it('begins nothing more, gives back what waits, finishes what runs, and goes on when it is resumed', async () => {
    // A read is blocked for a minute: it is told of the pause, or it would take the next message.
    const { seen, producer, finishAll, admin, client } = await start({ block: '60s' }, { concurrency: 1, prefetch: 4 });
    for (const id of [1, 2, 3]) await producer.publish('order.created', { id });
    await eventually(async () => seen.length === 1 && (await pending(client)).length === 3);
    await admin.pause(orders, 'billing');
    await eventually(async () => {
      const rows = await pending(client);
      expect(rows.map(({ idleMs }) => idleMs >= 30_000)).toEqual([false, true, true]);
    });
    finishAll();
    await eventually(async () => (await pending(client)).length === 2);
    await producer.publish('order.created', { id: 4 });
    // It was never delivered to anybody, however often the reaper has looked.
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(seen).toEqual([1]);
    expect(await pending(client)).toHaveLength(2);
    await admin.resume(orders, 'billing');
    await eventually(async () => {
      finishAll();
      expect(seen.toSorted()).toEqual([1, 2, 3, 4]);
      expect(await pending(client)).toEqual([]);
    });
  });

  it('is known before the first read, and without Pub/Sub after one block period', async () => {
    const client = redis.client();
    await client.set(`${ordersKey}:paused:billing`, '1');
    await client.xadd(ordersKey, '*', 't', 'order.created', 'd', '{"id":1}');
    const { seen } = await start({ block: 50 });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(seen).toEqual([]);
    await client.del(`${ordersKey}:paused:billing`);
    await eventually(() => {
      expect(seen).toEqual([1]);
    });
  });
});
