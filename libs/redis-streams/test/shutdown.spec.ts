import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import {
  getStreamToken,
  StreamConsumer,
  StreamHandler,
  type StreamContext,
  type StreamProducer,
} from '../src/index.js';
import { orders, type OrderCreated } from './support/orders.js';
import { consumers, ordersKey, pending } from './support/read-redis.js';
import { closeApp, closeApps, startApp } from './support/start-app.js';

afterEach(closeApps);

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
    expect(rows[0]?.idleMs).toBeLessThan(10_000);
    expect(rows[1]?.idleMs).toBeGreaterThanOrEqual(30_000);
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
