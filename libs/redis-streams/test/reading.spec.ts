import {
  cluster,
  commandsDuring,
  describeOn,
  eventually,
  FaultProxy,
  RedisServer,
  serversOf,
  standalone,
} from '@redstart/redis-testing';
import {
  getStreamToken,
  StreamConsumer,
  StreamHandler,
  type StreamConsumerOptions,
  type StreamContext,
  type StreamProducer,
} from '../src/index.js';
import { orders, type OrderCreated } from './support/orders.js';
import { ordersKey, pending } from './support/read-redis.js';
import { closeApp, closeApps, closingApps, startApp, type AppOptions } from './support/start-app.js';

afterEach(closeApps);

/** A consumer whose handlers end when the test says so. */
function heldConsumer(options: Omit<StreamConsumerOptions, 'group'>) {
  const running: { id: number; finish: () => void }[] = [];
  @StreamConsumer(orders, { group: 'billing', ...options })
  class Billing {
    @StreamHandler(orders.event('order.created'))
    created({ id }: OrderCreated, { signal }: StreamContext) {
      return new Promise<void>((finish, reject) => {
        running.push({ id, finish });
        signal.addEventListener('abort', () => {
          reject(new Error('stopped'));
        });
      });
    }
  }
  return { Billing, running };
}

describeOn(standalone, cluster)('reading', (redis) => {
  const start = (consumer: NonNullable<AppOptions['consumers']>[number], options: AppOptions['options'] = {}) =>
    startApp({
      connection: redis.connection,
      streams: [orders],
      consumers: [consumer],
      options: { drainTimeout: 0, ...options },
    });

  /** Entries as they lie in the stream, before anybody reads. */
  async function fill(count: number, payload: (id: number) => unknown = (id) => ({ id })) {
    const client = redis.client();
    for (let id = 0; id < count; id += 1) {
      await client.xadd(ordersKey, '*', 't', 'order.created', 'd', JSON.stringify(payload(id)));
    }
    return client;
  }

  it('fetches ahead, and asks for more only when less than half of that is left', async () => {
    const client = await fill(40);
    const { Billing, running } = heldConsumer({ concurrency: 4, prefetch: 8 });
    const finish = (count: number) => {
      for (const { finish: end } of running.splice(0, count)) end();
    };
    await start(Billing);
    await eventually(async () => (await pending(client)).length === 12 && running.length === 4);

    const counts = await commandsDuring(serversOf(redis), async () => {
      finish(4);
      // Four of the eight have their slots now, and four wait: half of them.
      await eventually(async () => (await pending(client)).length === 8 && running.length === 4);
    });
    expect(counts['xreadgroup']).toBeUndefined();
    finish(1);
    await eventually(async () => (await pending(client)).length === 12 && running.length === 4);
  });

  it('holds no more bytes than it may, however many slots are free', async () => {
    const size = 100_000;
    const client = await fill(12, (id) => ({ id, filler: 'x'.repeat(size) }));
    const { Billing, running } = heldConsumer({ concurrency: 10 });
    await start(Billing, { maxHeldBytes: 250_000 });
    const handled = new Set<number>();
    let most = 0;
    await eventually(
      async () => {
        await eventually(() => running.length > 0);
        most = Math.max(most, (await pending(client)).length);
        for (const { id, finish } of running.splice(0)) {
          handled.add(id);
          finish();
        }
        expect(handled.size).toBe(12);
      },
      { within: 30_000 },
    );
    // What it assumes before it has seen one is 64 KiB; and a read that begins below the limit may end above it.
    expect(most).toBeLessThanOrEqual(5);
    await eventually(async () => (await pending(client)).length === 0);
  });

  it('acknowledges what ends in one turn together, a hundred to a command', async () => {
    const client = await fill(150);
    const { Billing, running } = heldConsumer({ concurrency: 150, prefetch: 0 });
    await start(Billing);
    await eventually(() => running.length === 150);
    const counts = await commandsDuring(serversOf(redis), async () => {
      for (const { finish } of running) finish();
      await eventually(async () => (await pending(client)).length === 0);
    });
    expect(counts['xack']).toBe(2);
  });

  it('gives back what stands behind handlers that take long, without counting that as a delivery', async () => {
    const client = await fill(3);
    const slow = heldConsumer({ concurrency: 1, prefetch: 2 });
    // A renewal every 1.5 s: one may be late. What is not renewed for minIdle may be taken over.
    const minIdle = 4_500;
    await start(slow.Billing, { minIdle, claimInterval: '60s' });
    await eventually(async () => slow.running.length === 1 && (await pending(client)).length === 3);
    const seen: number[] = [];
    @StreamConsumer(orders, { group: 'billing' })
    class Free {
      @StreamHandler(orders.event('order.created'))
      created({ id }: OrderCreated, { deliveries }: { deliveries: number }) {
        seen.push(id, deliveries);
      }
    }
    // It takes nothing over that is renewed: only what was given back looks that old.
    await start(Free, { minIdle, claimInterval: 50 });
    await eventually(
      () => {
        expect(seen).toEqual([1, 1, 2, 1]);
      },
      { within: 15_000 },
    );
    // What was given back has been acknowledged, and the first one is where it was.
    await eventually(async () => {
      expect(await pending(client)).toMatchObject([{ deliveries: 1 }]);
    });
    expect(slow.running).toHaveLength(1);
  });

  it('costs one command per block period and two a second when idle', async () => {
    const { Billing } = heldConsumer({});
    const app = await start(Billing, { block: '1s', claimInterval: '5s', minIdle: '30s' });
    const producer = app.get<StreamProducer<typeof orders>>(getStreamToken(orders));
    await producer.publish('order.created', { id: 1 });
    // With the time that the counting itself takes: what comes within it is counted, too.
    const began = performance.now();
    const counts = await commandsDuring(serversOf(redis), () => new Promise((resolve) => setTimeout(resolve, 4_000)));
    const elapsed = (performance.now() - began) / 1_000;
    const { xreadgroup = 0, ...others } = counts;
    expect(xreadgroup).toBeGreaterThanOrEqual(2);
    expect(xreadgroup).toBeLessThanOrEqual(Math.ceil(elapsed) + 1);
    // A script is one command, whatever it carries out inside; and neither the counting itself nor what replicas ask is ours.
    const insideScripts = ['xautoclaim', 'xpending', 'time', 'zrange', 'type'];
    const ofReplicas = ['replconf', 'psync', 'ping'];
    const notOurs = new Set([...insideScripts, ...ofReplicas, 'config|resetstat', 'hello', 'info']);
    const maintenance = Object.entries(others).reduce((sum, [name, calls]) => sum + (notOurs.has(name) ? 0 : calls), 0);
    expect(maintenance).toBeGreaterThan(0);
    // What comes regularly may come at both ends of the time that was looked at.
    expect(maintenance > 2 * (elapsed + 1) ? others : 'few').toBe('few');
  });
});

describe('the end of a blocked read', () => {
  it('is an answer: what was delivered meanwhile is handled, not left behind', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    await using _apps = closingApps();
    const seen: number[] = [];
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @StreamHandler(orders.event('order.created'))
      created({ id }: OrderCreated) {
        seen.push(id);
      }
    }
    const options = { block: '60s', drainTimeout: '10s' } as const;
    const app = await startApp({ connection: { url: proxy.url }, streams: [orders], consumers: [Billing], options });
    const admin = server.client();
    const blocked = () => eventually(async () => (await admin.info('clients')).includes('blocked_clients:1'));
    await blocked();
    // The reply that carries the entry takes its time; the application stops while it is on its way.
    const slow = proxy.latency(300);
    await admin.xadd(ordersKey, '*', 't', 'order.created', 'd', '{"id":1}');
    await closeApp(app);

    expect(slow.injected).toBeGreaterThan(0);
    expect(seen).toEqual([1]);
    expect(await pending(admin)).toEqual([]);
    expect(await admin.info('commandstats')).toContain('cmdstat_client|unblock:');
  });

  it('comes at once when nothing was delivered', async () => {
    await using server = await RedisServer.start();
    await using _apps = closingApps();
    const { Billing } = heldConsumer({});
    const app = await startApp({
      connection: { url: server.url },
      streams: [orders],
      consumers: [Billing],
      options: { block: '60s' },
    });
    const admin = server.client();
    await eventually(async () => (await admin.info('clients')).includes('blocked_clients:1'));
    const began = performance.now();
    await closeApp(app);
    expect(performance.now() - began).toBeLessThan(10_000);
    const killed = /cmdstat_client\|unblock:calls=(\d+)/.exec(await admin.info('commandstats'));
    expect(Number(killed?.[1])).toBeGreaterThan(0);
  });
});
