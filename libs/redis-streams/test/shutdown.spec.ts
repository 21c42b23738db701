import { once } from 'node:events';
import { jest } from '@jest/globals';
import { getRedisConnectionToken, systemClock, type Clock, type RedisConnection } from '@redstart/redis-core';
import { cluster, describeOn, eventually, FaultProxy, RedisServer, standalone } from '@redstart/redis-testing';
import {
  getStreamToken,
  StreamConsumer,
  StreamHandler,
  type StreamContext,
  type StreamProducer,
} from '../src/index.js';
import { orders, type OrderCreated } from './support/orders.js';
import { consumers, ordersKey, pending } from './support/read-redis.js';
import { closeApp, closeApps, compileApp, startApp } from './support/start-app.js';

afterEach(closeApps);

describe('shutdown without an answer', () => {
  it('ends, with what runs aborted, when Redis has fallen silent', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    let aborted = false;
    let begun = false;
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @StreamHandler(orders.event('order.created'))
      async created(_order: OrderCreated, { signal }: StreamContext) {
        begun = true;
        await once(signal, 'abort');
        aborted = true;
      }
    }
    const app = await startApp({
      connection: { url: proxy.url },
      streams: [orders],
      consumers: [Billing],
      options: { drainTimeout: 100 },
    });
    await app.get<StreamProducer<typeof orders>>(getStreamToken(orders)).publish('order.created', { id: 1 });
    await eventually(() => begun);
    proxy.blackhole();
    await closeApp(app);
    expect(aborted).toBe(true);
  });

  it('leaves no timer of a handler that goes on and on', async () => {
    await using server = await RedisServer.start();
    let begun = false;
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @StreamHandler(orders.event('order.created'), { timeout: '10m' })
      created() {
        begun = true;
        return new Promise(() => undefined);
      }
    }
    const app = await compileApp({
      connection: { url: server.url },
      streams: [orders],
      consumers: [Billing],
      options: { drainTimeout: 0 },
    });
    const running = new Set<() => void>();
    const clock: Clock = {
      now: () => systemClock.now(),
      after: (ms, run, options) => {
        const ended = () => running.delete(cancel);
        const cancel = systemClock.after(
          ms,
          () => {
            ended();
            run();
          },
          options,
        );
        if (options?.unref !== true) running.add(cancel);
        return () => {
          ended();
          cancel();
        };
      },
    };
    Object.assign(app.get<RedisConnection>(getRedisConnectionToken()), { clock });
    await app.init();
    await app.get<StreamProducer<typeof orders>>(getStreamToken(orders)).publish('order.created', { id: 1 });
    await eventually(() => begun);
    expect(running.size).toBeGreaterThan(0);
    await closeApp(app);
    expect(running.size).toBe(0);
  });

  it('ends while no subscription has been answered yet', async () => {
    await using server = await RedisServer.start();
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @StreamHandler(orders.event('order.created'))
      created() {
        return undefined;
      }
    }
    const app = await compileApp({ connection: { url: server.url }, streams: [orders], consumers: [Billing] });
    const { subscriber } = app.get<RedisConnection>(getRedisConnectionToken());
    const subscribe = jest.spyOn(subscriber, 'subscribe').mockReturnValue(new Promise(() => undefined));
    await app.init();
    await eventually(() => subscribe.mock.calls.length > 0);
    await closeApp(app);
  });
});

describeOn(standalone, cluster)('shutdown', (redis) => {
  it('waits for the handlers that run, acknowledges all that finish, and leaves the group', async () => {
    const finished: number[] = [];
    let begun = 0;
    @StreamConsumer(orders, { group: 'billing', concurrency: 5 })
    class Billing {
      @StreamHandler(orders.event('order.created'))
      async created({ id }: OrderCreated) {
        begun += 1;
        await new Promise((resolve) => setTimeout(resolve, 100));
        finished.push(id);
      }
    }
    const app = await startApp({ connection: redis.connection, streams: [orders], consumers: [Billing] });
    const producer = app.get<StreamProducer<typeof orders>>(getStreamToken(orders));
    await Promise.all(Array.from({ length: 12 }, (_, id) => producer.publish('order.created', { id })));
    await eventually(() => begun >= 5);
    await closeApp(app);

    const client = redis.client();
    const left = await pending(client);
    const ids = (await client.xrange(ordersKey, '-', '+')).map(([id]) => id);
    const lastRead = ids.indexOf(await lastDelivered());
    // Every entry that was read is either finished and acknowledged, or pending: never both, never neither.
    expect(finished).toHaveLength(begun);
    expect(finished.length + left.length).toBe(lastRead + 1);
    if (left.length === 0) expect(await consumers(client)).toEqual([]);

    async function lastDelivered(): Promise<string> {
      const [group] = (await client.xinfo('GROUPS', ordersKey)) as string[][];
      return String(group?.[group.indexOf('last-delivered-id') + 1]);
    }
  });

  it('sets free at once what it had taken but not begun, and keeps its hands off what still runs', async () => {
    let signal: AbortSignal | undefined;
    let begun = 0;
    @StreamConsumer(orders, { group: 'billing', concurrency: 1 })
    class Billing {
      @StreamHandler(orders.event('order.created'))
      created(_order: OrderCreated, ctx: StreamContext) {
        begun += 1;
        signal = ctx.signal;
        return new Promise<void>(() => undefined);
      }
    }
    const options = { drainTimeout: 100, minIdle: '30s' } as const;
    const app = await startApp({ connection: redis.connection, streams: [orders], consumers: [Billing], options });
    const { id } = await app
      .get<StreamProducer<typeof orders>>(getStreamToken(orders))
      .publish('order.created', { id: 1 });
    await eventually(() => begun === 1);
    const client = redis.client();
    // As if a reply had been lost on the way to the consumer that stops.
    const [name = ''] = await consumers(client);
    const second = await client.xadd(ordersKey, '*', 't', 'order.created', 'd', '{"id":2}');
    await client.xreadgroup('GROUP', 'billing', name, 'STREAMS', ordersKey, '>');
    await closeApp(app);

    expect(signal?.aborted).toBe(true);
    const rows = await pending(client);
    expect(rows.map((row) => row.id)).toEqual([id, second]);
    // What is free looks as if nobody had renewed it for minIdle.
    expect(rows[0]?.idleMs).toBeLessThan(30_000);
    expect(rows[1]?.idleMs).toBeGreaterThanOrEqual(30_000);
    // What came to nothing does not count as a delivery.
    expect(rows.map(({ deliveries }) => deliveries)).toEqual([1, 0]);
    // Its record stays as long as something is pending under it.
    expect(await consumers(client)).toEqual([name]);
  });

  it('stops at once while it is still starting', async () => {
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @StreamHandler(orders.event('order.created'))
      created() {
        return undefined;
      }
    }
    // Closed in the tick in which it has booted: the group is being made, and no connection of the reader is open.
    const options = { block: '60s' } as const;
    await closeApp(await startApp({ connection: redis.connection, streams: [orders], consumers: [Billing], options }));
    expect(await consumers(redis.client()).catch(() => [])).toEqual([]);
  });

  it('reads nothing any more, and removes its record, when it was idle', async () => {
    const seen: number[] = [];
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @StreamHandler(orders.event('order.created'))
      created({ id }: OrderCreated) {
        seen.push(id);
      }
    }
    const app = await startApp({
      connection: redis.connection,
      streams: [orders],
      consumers: [Billing],
      options: { block: '30s' },
    });
    await app.get<StreamProducer<typeof orders>>(getStreamToken(orders)).publish('order.created', { id: 1 });
    const client = redis.client();
    await eventually(async () => seen.length === 1 && (await pending(client)).length === 0);
    const startedAt = performance.now();
    await closeApp(app);

    expect(performance.now() - startedAt).toBeLessThan(10_000);
    await client.xadd(ordersKey, '*', 't', 'order.created', 'd', '{"id":2}');
    expect(await consumers(client)).toEqual([]);
    expect(await pending(client)).toEqual([]);
    expect(seen).toEqual([1]);
  });
});
