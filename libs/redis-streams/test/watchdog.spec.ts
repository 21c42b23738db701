import { jest } from '@jest/globals';
import { getRedisConnectionToken, systemClock, type Clock, type RedisConnection } from '@redstart/redis-core';
import { eventually, FaultProxy, RedisServer } from '@redstart/redis-testing';
import { getStreamToken, StreamConsumer, StreamHandler, type StreamProducer } from '../src/index.js';
import { orders, type OrderCreated } from './support/orders.js';
import { pending } from './support/read-redis.js';
import { closeApp, compileApp } from './support/start-app.js';

/** Time passes five times as fast. */
const hasty: Clock = {
  now: () => systemClock.now() * 5,
  after: (ms, ...rest) => systemClock.after(ms / 5, ...rest),
};

describe('the watchdog over blocked reads', () => {
  it('begins anew when a read is never answered, though its connection stands', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    const seen: number[] = [];
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @StreamHandler(orders.event('order.created'))
      created({ id }: OrderCreated) {
        seen.push(id);
      }
    }
    // Nothing else helps: neither does the connection break, nor does anybody take the entry over.
    const connection = { url: proxy.url, socketTimeout: '1h' };
    const app = await compileApp({
      connection,
      streams: [orders],
      consumers: [Billing],
      options: { minIdle: '1h', block: 200 },
    });
    jest.replaceProperty(app.get<RedisConnection>(getRedisConnectionToken()), 'clock', hasty);
    await app.init();
    try {
      const swallowed = proxy.dropReply('XREADGROUP', { thenReset: false });
      await eventually(() => swallowed.injected === 1);
      const producer = app.get<StreamProducer<typeof orders>>(getStreamToken(orders));
      await producer.publish('order.created', { id: 1 });
      await eventually(
        async () => {
          expect(seen).toEqual([1]);
          expect(await pending(server.client())).toEqual([]);
        },
        { within: 20_000 },
      );
      expect(swallowed.injected).toBe(1);
    } finally {
      await closeApp(app);
    }
  }, 60_000);
});
