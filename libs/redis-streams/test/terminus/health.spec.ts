import { HealthIndicatorService } from '@nestjs/terminus';
import { ModuleRef } from '@nestjs/core';
import type { TestingModule } from '@nestjs/testing';
import { cluster, describeOn, eventually, RedisServer, standalone } from '@redstart/redis-testing';
import { getStreamToken, StreamAdmin, StreamConsumer, StreamHandler, type StreamProducer } from '../../src/index.js';
import { StreamsHealthIndicator, type StreamsHealthOptions } from '../../src/terminus/index.js';
import { orders } from '../support/orders.js';
import { closeApps, closingApps, startApp } from '../support/start-app.js';

afterEach(closeApps);

const checkOf = (app: TestingModule) => {
  const indicator = new StreamsHealthIndicator(app.get(ModuleRef), new HealthIndicatorService());
  return async (options: StreamsHealthOptions = {}) => (await indicator.isHealthy('streams', options)).streams;
};

describeOn(standalone, cluster)('StreamsHealthIndicator', (redis) => {
  /** A consumer that handles one message at a time, when it is told to. */
  async function start() {
    let open: () => void = () => undefined;
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    let begun = 0;
    @StreamConsumer(orders, { group: 'billing', concurrency: 1, prefetch: 0 })
    class Billing {
      @StreamHandler(orders.event('order.created'))
      async created() {
        begun += 1;
        await opened;
      }
    }
    const app = await startApp({ connection: redis.connection, streams: [orders], consumers: [Billing] });
    const producer = app.get<StreamProducer<typeof orders>>(getStreamToken(orders));
    const publish = (count: number) =>
      Promise.all(Array.from({ length: count }, (_, id) => producer.publish('order.created', { id })));
    const busy = () => eventually(() => begun === 1);
    return {
      app,
      publish,
      busy,
      open: () => {
        open();
      },
      check: checkOf(app),
    };
  }

  it('is down while more waits than allowed, or something older, unless the group is paused', async () => {
    const { app, publish, busy, open, check } = await start();
    expect(await check({ maxLag: 0, maxAge: '1s' })).toMatchObject({
      status: 'up',
      consumers: [
        { stream: 'orders', group: 'billing', reading: true, paused: false, lag: 0, pending: 0, ageMs: null },
      ],
    });
    await publish(1);
    await busy();
    await publish(5);
    expect(await check({ maxLag: 5, maxAge: '1h' })).toMatchObject({
      status: 'up',
      consumers: [{ lag: 5, pending: 1 }],
    });
    expect(await check({ maxLag: 4 })).toMatchObject({ status: 'down', consumers: [{ lag: 5 }] });
    await eventually(async () => {
      expect(await check({ maxAge: 1 })).toMatchObject({ status: 'down' });
    });
    await app.get(StreamAdmin).pause(orders, 'billing');
    expect(await check({ maxLag: 4 })).toMatchObject({ status: 'up', consumers: [{ paused: true }] });
    await app.get(StreamAdmin).resume(orders, 'billing');
    open();
    await eventually(async () => {
      expect(await check({ maxLag: 0, maxAge: '1h' })).toMatchObject({ status: 'up' });
    });
  });

  it('refuses a threshold that is none', async () => {
    const { check, open } = await start();
    await expect(check({ maxLag: -1 })).rejects.toThrow('maxLag');
    await expect(check({ maxlag: 1 } as never)).rejects.toThrow('maxlag: is not an option');
    open();
  });
});

describe('StreamsHealthIndicator in trouble', () => {
  it('is down when a reader gets no answers, and up when it does again', async () => {
    await using server = await RedisServer.start();
    await using _apps = closingApps();
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @StreamHandler(orders.event('order.created'))
      created() {
        return undefined;
      }
    }
    const app = await startApp({ connection: { url: server.url }, streams: [orders], consumers: [Billing] });
    const check = checkOf(app);
    expect(await check()).toMatchObject({ status: 'up', consumers: [{ reading: true }] });
    // Everything else works on: only reading is refused.
    await server.client().acl('SETUSER', 'default', '-xreadgroup');
    await eventually(async () => {
      expect(await check({ maxSilence: 1_000 })).toMatchObject({ status: 'down', consumers: [{ reading: false }] });
    });
    await server.client().acl('SETUSER', 'default', '+xreadgroup');
    await eventually(async () => {
      expect(await check({ maxSilence: 1_000 })).toMatchObject({ status: 'up', consumers: [{ reading: true }] });
    });
    await server.kill();
    const startedAt = performance.now();
    const down = await check({ timeout: 300 });
    expect(down).toMatchObject({
      status: 'down',
      code: expect.stringMatching(/^(TIMEOUT|REDIS_UNAVAILABLE)$/) as string,
    });
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    expect(JSON.stringify(down)).not.toContain('127.0.0.1');
  });
});
