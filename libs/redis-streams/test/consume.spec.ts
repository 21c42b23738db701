import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import {
  getStreamToken,
  StreamConsumer,
  StreamHandler,
  UnrecoverableError,
  type StreamContext,
  type StreamProducer,
} from '../src/index.js';
import { orders, type OrderCreated } from './support/orders.js';
import { billingDeadLetters, entries, ordersKey, pending } from './support/read-redis.js';
import { closeApps, startApp, type AppOptions } from './support/start-app.js';

afterEach(closeApps);

describeOn(standalone, cluster)('consume', (redis) => {
  async function start(consumer: NonNullable<AppOptions['consumers']>[number], options: AppOptions['options'] = {}) {
    const app = await startApp({ connection: redis.connection, streams: [orders], consumers: [consumer], options });
    return app.get<StreamProducer<typeof orders>>(getStreamToken(orders));
  }

  it('hands a message to its handler, with everything known of it', async () => {
    const seen: { order: OrderCreated; ctx: StreamContext }[] = [];
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @StreamHandler(orders.event('order.created'))
      created(order: OrderCreated, ctx: StreamContext) {
        seen.push({ order, ctx });
      }
    }
    const producer = await start(Billing);
    const headers = { tenant: 'a' };
    const { id } = await producer.publish('order.created', { id: 42 }, { key: 'k', messageId: 'm-1', headers });

    await eventually(() => seen.length === 1);
    expect(seen[0]?.order).toEqual({ id: 42 });
    expect(seen[0]?.ctx).toMatchObject({
      ...{ id, messageId: 'm-1', key: 'k', headers, type: 'order.created', stream: 'orders', group: 'billing' },
      ...{ attempt: 1, deliveries: 1, publishedAt: new Date(Number(id.split('-')[0])) },
    });
    const client = redis.client();
    await eventually(async () => (await pending(client)).length === 0);
  });

  it('gives a handler what the schema made of the payload', async () => {
    const seen: unknown[] = [];
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @StreamHandler(orders.event('order.paid'))
      paid(order: { id: number }) {
        seen.push(order);
      }
    }
    const producer = await start(Billing);
    await producer.publish('order.paid', { id: '7' });
    await eventually(() => {
      expect(seen).toEqual([{ id: 7 }]);
    });
  });

  it('acknowledges only when the promise of the handler has resolved', async () => {
    let finish: (() => void) | undefined;
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @StreamHandler(orders.event('order.created'))
      created() {
        return new Promise<void>((resolve) => (finish = resolve));
      }
    }
    const producer = await start(Billing);
    const { id } = await producer.publish('order.created', { id: 1 });
    const client = redis.client();

    await eventually(() => finish !== undefined);
    expect(await pending(client)).toMatchObject([{ id, deliveries: 1 }]);
    finish?.();
    await eventually(async () => (await pending(client)).length === 0);
  });

  it('runs at most `concurrency` handlers, and uses all of them', async () => {
    let running = 0;
    let most = 0;
    let done = 0;
    let open: () => void = () => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    @StreamConsumer(orders, { group: 'billing', concurrency: 4 })
    class Billing {
      @StreamHandler(orders.event('order.created'))
      async created() {
        most = Math.max(most, ++running);
        await opened;
        await new Promise((resolve) => setTimeout(resolve, 5));
        running -= 1;
        done += 1;
      }
    }
    const producer = await start(Billing);
    await Promise.all(Array.from({ length: 60 }, (_, id) => producer.publish('order.created', { id })));
    await eventually(() => running === 4);
    open();
    await eventually(() => done === 60);
    expect(most).toBe(4);
  });

  it('moves a message to the dead letters when its attempts are used up, whole and with the reason', async () => {
    let runs = 0;
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @StreamHandler(orders.event('order.created'), { retry: { attempts: 2, backoff: 0 } })
      created() {
        runs += 1;
        throw new RangeError('no such customer');
      }
    }
    const producer = await start(Billing);
    const { id } = await producer.publish('order.created', { id: 9 });
    const client = redis.client();

    await eventually(async () => (await client.xlen(billingDeadLetters)) === 1);
    expect(runs).toBe(2);
    expect(await entries(client, billingDeadLetters)).toMatchObject([
      {
        'x-id': id,
        'x-reason': 'attempts',
        'x-attempts': '2',
        'x-deliveries': '2',
        'x-error': 'RangeError',
        'x-message': 'no such customer',
        d: '{"id":9}',
      },
    ]);
    expect(await pending(client)).toEqual([]);
  });

  it('gives up at once when the handler says so', async () => {
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @StreamHandler(orders.event('order.created'))
      created() {
        throw new UnrecoverableError('never');
      }
    }
    const producer = await start(Billing);
    await producer.publish('order.created', { id: 9 });
    const client = redis.client();
    await eventually(async () => {
      expect(await entries(client, billingDeadLetters)).toMatchObject([
        { 'x-reason': 'unrecoverable', 'x-deliveries': '1' },
      ]);
    });
  });

  it('goes on after foreign and damaged entries, which become dead letters', async () => {
    const seen: number[] = [];
    @StreamConsumer(orders, { group: 'billing', concurrency: 1 })
    class Billing {
      @StreamHandler(orders.event('order.created'))
      created({ id }: OrderCreated) {
        seen.push(id);
      }
      @StreamHandler(orders.event('order.paid'))
      paid() {
        seen.push(-1);
      }
    }
    const client = redis.client();
    const ids = [
      await client.xadd(ordersKey, '*', 'foreign', 'x'),
      await client.xadd(ordersKey, '*', 't', 'order.created', 'd', '{"id":'),
      await client.xadd(ordersKey, '*', 't', 'order.paid', 'd', '{"id":"no digits"}'),
    ].map(String);
    const producer = await start(Billing);
    await producer.publish('order.created', { id: 3 });

    await eventually(() => {
      expect(seen).toEqual([3]);
    });
    await eventually(async () => {
      const letters = await entries(client, billingDeadLetters);
      // Each is moved by a script of its own, and one that the server does not know yet is sent again, behind others.
      const reasons = new Map(letters.map((letter) => [letter['x-id'], letter['x-reason']]));
      expect(letters).toHaveLength(3);
      expect(ids.map((id) => reasons.get(id))).toEqual(['undecodable', 'undecodable', 'schema']);
      expect(letters.find((letter) => letter['x-id'] === ids[0])).toMatchObject({ foreign: 'x' });
    });
    await eventually(async () => (await pending(client)).length === 0);
  });

  it('acknowledges a message that the group has no handler for', async () => {
    const seen: number[] = [];
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @StreamHandler(orders.event('order.created'))
      created({ id }: OrderCreated) {
        seen.push(id);
      }
    }
    const producer = await start(Billing);
    await producer.publish('order.cancelled', { id: 1 });
    await producer.publish('order.created', { id: 2 });
    await eventually(() => seen.length === 1);
    const client = redis.client();
    await eventually(async () => (await pending(client)).length === 0);
    expect(await client.exists(billingDeadLetters)).toBe(0);
  });

  it("begins with the oldest entry, and with from: 'new' with what comes", async () => {
    const seen: string[] = [];
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @StreamHandler(orders.event('order.created'))
      created({ id }: OrderCreated) {
        seen.push(`billing ${id}`);
      }
    }
    @StreamConsumer(orders, { group: 'mail', from: 'new' })
    class Mail {
      @StreamHandler(orders.event('order.created'))
      created({ id }: OrderCreated) {
        seen.push(`mail ${id}`);
      }
    }
    const publisher = await startApp({ connection: redis.connection, streams: [orders] });
    await publisher.get<StreamProducer<typeof orders>>(getStreamToken(orders)).publish('order.created', { id: 1 });
    const app = await startApp({ connection: redis.connection, streams: [orders], consumers: [Billing, Mail] });
    await app.get<StreamProducer<typeof orders>>(getStreamToken(orders)).publish('order.created', { id: 2 });

    await eventually(() => {
      expect(seen.toSorted()).toEqual(['billing 1', 'billing 2', 'mail 2']);
    });
  });
});
