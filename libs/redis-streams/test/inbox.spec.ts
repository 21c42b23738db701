import { jest } from '@jest/globals';
import { getRedisConnectionToken, systemClock, type Clock, type RedisConnection } from '@redstart/redis-core';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import { getStreamToken, StreamConsumer, StreamHandler, type StreamProducer } from '../src/index.js';
import { orders } from './support/orders.js';
import { ordersKey, pending } from './support/read-redis.js';
import { closeApps, compileApp, startApp } from './support/start-app.js';

afterEach(closeApps);

const noteKey = `${ordersKey}:inbox:billing:m-1`;

describeOn(standalone, cluster)('a note of the inbox that is another run’s by now', (redis) => {
  it.each(['succeeds', 'fails'])('stays as it is when the run that had it before %s', async (outcome) => {
    const client = redis.client();
    const finish: (() => void)[] = [];
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @StreamHandler(orders.event('order.created'), { idempotent: true, retry: { attempts: 1 } })
      created(): Promise<void> {
        return new Promise((resolve, reject) => {
          finish.push(() => {
            if (outcome === 'succeeds') resolve();
            else reject(new Error('no'));
          });
        });
      }
    }
    const app = await startApp({ connection: redis.connection, streams: [orders], consumers: [Billing] });
    await app
      .get<StreamProducer<typeof orders>>(getStreamToken(orders))
      .publish('order.created', { id: 1 }, { messageId: 'm-1' });
    await eventually(() => finish.length === 1);
    expect(await client.get(noteKey)).toMatch(/^p:/);
    await client.set(noteKey, 'p:another', 'PX', 60_000);
    for (const end of finish) end();
    await eventually(async () => {
      expect(await pending(client)).toEqual([]);
    });
    expect(await client.get(noteKey)).toBe('p:another');
  });
});

describeOn(standalone, cluster)('a note of the inbox whose answer comes late', (redis) => {
  const minIdleMs = 30_000;

  it.each([
    { meanwhile: 'another one has begun', runs: 0 },
    { meanwhile: 'nobody has begun', runs: 1 },
  ])('is asked for again before anything begins: $meanwhile', async ({ meanwhile, runs }) => {
    const client = redis.client();
    let seen = 0;
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @StreamHandler(orders.event('order.created'), { idempotent: true })
      created(): void {
        seen += 1;
      }
    }
    const app = await compileApp({
      connection: redis.connection,
      streams: [orders],
      consumers: [Billing],
      options: { minIdle: minIdleMs },
    });
    const connection = app.get<RedisConnection>(getRedisConnectionToken());
    let shift = 0;
    const clock: Clock = { now: () => systemClock.now() + shift, after: (...timer) => systemClock.after(...timer) };
    jest.replaceProperty(connection, 'clock', clock);
    const send = connection.call.bind(connection);
    let asked = 0;
    jest.spyOn(connection, 'call').mockImplementation(async (call, ...rest) => {
      const answer = await send(call, ...rest);
      if (call.operation !== 'streams.inbox' || ++asked > 1) return answer;
      // The process stands still with the answer before it, until the lease has ended.
      shift = minIdleMs;
      if (meanwhile === 'another one has begun') await client.set(noteKey, 'p:another', 'PX', 60_000);
      else await client.del(noteKey);
      return answer;
    });
    await app.init();
    try {
      await app
        .get<StreamProducer<typeof orders>>(getStreamToken(orders))
        .publish('order.created', { id: 1 }, { messageId: 'm-1' });
      await eventually(async () => {
        // Handled, or put off until the lease of the other one ends.
        expect(seen + (await client.zcard(`${ordersKey}:retry:billing:due`))).toBe(1);
        expect(await pending(client)).toEqual([]);
      });
      expect(seen).toBe(runs);
      expect(await client.get(noteKey)).toMatch(runs === 0 ? /^p:another$/ : /^d:/);
    } finally {
      await app.close();
    }
  });
});
