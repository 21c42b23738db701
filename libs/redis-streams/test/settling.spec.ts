import { cluster, describeOn, eventually, FaultProxy, RedisServer, standalone } from '@redstart/redis-testing';
import {
  getStreamToken,
  RedisStreams,
  StreamConsumer,
  StreamHandler,
  type StreamContext,
  type StreamHandlerOptions,
  type StreamProducer,
} from '../src/index.js';
import { orders, type OrderCreated } from './support/orders.js';
import { billingDeadLetters, ordersKey, pending } from './support/read-redis.js';
import { closeApp, closeApps, closingApps, startApp, type AppOptions } from './support/start-app.js';

afterEach(closeApps);

const retryKey = `${ordersKey}:retry:billing`;
const patience = { within: 20_000 };

function consumerClass(handle: (ctx: StreamContext) => unknown, options: StreamHandlerOptions = {}) {
  @StreamConsumer(orders, { group: 'billing' })
  class Billing {
    @StreamHandler(orders.event('order.created'), options)
    created(_order: OrderCreated, ctx: StreamContext): unknown {
      return handle(ctx);
    }
  }
  return Billing;
}

async function start(app: Omit<AppOptions, 'streams'>) {
  const module = await startApp({ streams: [orders], ...app });
  const producer = module.get<StreamProducer<typeof orders>>(getStreamToken(orders));
  const [consumer] = module.get(RedisStreams).consumers;
  return { module, producer, consumer };
}

describeOn(standalone, cluster)('an entry that is tried again', (redis) => {
  it('leaves the stream of retries when it commits', async () => {
    const client = redis.client();
    const { producer } = await start({
      connection: redis.connection,
      consumers: [
        consumerClass(
          async (ctx) => {
            if (ctx.attempt === 1) throw new Error('not yet');
            await ctx.commit((multi) => multi.set('done{orders}', '1'));
            // In one step with the effect, and not when the handler has ended.
            await new Promise(() => undefined);
          },
          { retry: { backoff: 1 } },
        ),
      ],
      options: { drainTimeout: 0 },
    });
    await producer.publish('order.created', { id: 1 }, { messageId: 'm-1' });
    await eventually(async () => {
      expect(await client.get('done{orders}')).toBe('1');
      expect(await client.xlen(retryKey)).toBe(0);
      expect(await pending(client, 'billing', retryKey)).toEqual([]);
    }, patience);
    // That it has committed is remembered for a while, not for ever.
    expect(await client.pttl(`${ordersKey}:inbox:billing:m-1`)).toBeGreaterThan(0);
  });

  it('leaves the stream of retries when it becomes a dead letter', async () => {
    const client = redis.client();
    const fail = () => {
      throw new Error('never');
    };
    const { producer } = await start({
      connection: redis.connection,
      consumers: [consumerClass(fail, { retry: { attempts: 2, backoff: 1 } })],
    });
    await producer.publish('order.created', { id: 1 });
    await eventually(async () => {
      expect(await client.xlen(billingDeadLetters)).toBe(1);
    }, patience);
    expect(await client.xlen(retryKey)).toBe(0);
    expect(await pending(client, 'billing', retryKey)).toEqual([]);
  });

  it('counts as handled only when it was acknowledged', async () => {
    const client = redis.client();
    const warnings: string[] = [];
    const note = (message: unknown) => warnings.push(String(message));
    let finish: (() => void) | undefined;
    const { producer, consumer } = await start({
      connection: redis.connection,
      consumers: [consumerClass(() => new Promise<void>((resolve) => (finish = resolve)))],
      logger: { log: () => undefined, warn: note, error: note },
    });
    await producer.publish('order.created', { id: 1 });
    await eventually(() => finish !== undefined);
    await client.set(ordersKey, 'no stream any more');
    finish?.();
    await eventually(() => {
      expect(warnings.join()).toMatch(/while acknowledging entries/);
    }, patience);
    expect(consumer?.counters).toMatchObject({ handled: 0 });
  });
});

describe('an entry that was lost during an outage', () => {
  it('is not settled any more: nobody waits for that at shutdown', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    await using _apps = closingApps();
    let fail: (() => void) | undefined;
    let signal: AbortSignal | undefined;
    const { module, producer } = await start({
      connection: { url: proxy.url },
      consumers: [
        consumerClass((ctx) => {
          ({ signal } = ctx);
          return new Promise((_resolve, reject) => {
            fail = () => {
              reject(new Error('no'));
            };
          });
        }),
      ],
      options: { minIdle: '1s', block: 200, drainTimeout: '5m' },
    });
    await producer.publish('order.created', { id: 1 });
    await eventually(() => fail !== undefined);
    const outage = proxy.refuse();
    fail?.();
    await eventually(() => signal?.aborted === true, patience);
    await closeApp(module);
    expect(outage.injected).toBeGreaterThan(0);
    expect(await pending(server.client())).toHaveLength(1);
  });
});
