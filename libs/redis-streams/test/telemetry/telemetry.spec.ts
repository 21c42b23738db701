import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { TestingModule } from '@nestjs/testing';
import { eventually, RedisServer } from '@redstart/redis-testing';
import {
  getStreamToken,
  handlingChannel,
  onStreamTelemetry,
  StreamAdmin,
  StreamConsumer,
  StreamHandler,
  UnrecoverableError,
  type HandlingContext,
  type StreamProducer,
  type StreamTelemetryEvent,
} from '../../src/index.js';
import { addOrders, deliver } from '../support/foreign-entries.js';
import { orders, type OrderCreated } from '../support/orders.js';
import { age, ordersKey } from '../support/read-redis.js';
import { closeApps, startApp } from '../support/start-app.js';

let server: RedisServer;
const endings: (() => void)[] = [];
beforeAll(async () => {
  server = await RedisServer.start();
});
beforeEach(() => server.flush());
afterEach(async () => {
  for (const end of endings.splice(0)) end();
  await closeApps();
});
afterAll(() => server.stop());

function hear(): StreamTelemetryEvent[] {
  const events: StreamTelemetryEvent[] = [];
  endings.push(onStreamTelemetry((event) => events.push(event)));
  return events;
}

const secret = 'payload-canary';

@StreamConsumer(orders, { group: 'billing' })
class Billing {
  @StreamHandler(orders.event('order.created'), { retry: { attempts: 2, backoff: 1 } })
  created({ id }: OrderCreated) {
    if (id === 2) throw new Error(secret);
    if (id === 3) throw new UnrecoverableError(secret);
  }
}

const start = () => startApp({ connection: { url: server.url }, streams: [orders], consumers: [Billing] });
const producerOf = (app: TestingModule) => app.get<StreamProducer<typeof orders>>(getStreamToken(orders));

describe('the telemetry of streams', () => {
  it('tells what becomes of every message, by names of bounded number', async () => {
    const events = hear();
    const app = await start();
    const producer = producerOf(app);
    const publish = (id: number) =>
      producer.publish('order.created', { id }, { key: secret, messageId: `${secret}-${id}`, headers: { secret } });
    for (const id of [1, 2, 3, 1]) await publish(id);
    await producer.publish('order.cancelled', { id: 4 });
    await producer.publish('order.created', { id: 5 }, { delay: '1h' });
    await eventually(() => events.filter(({ event }) => event !== 'published').length >= 5);
    await app.get(StreamAdmin).groups(orders);

    const source = { module: 'default', connection: 'default', stream: 'orders' };
    const published = { ...source, event: 'published', type: 'order.created', duplicate: false, delayed: false };
    expect(events.filter(({ event }) => event === 'published')).toEqual([
      published,
      published,
      published,
      { ...published, duplicate: true },
      { ...published, type: 'order.cancelled' },
      { ...published, delayed: true },
    ]);
    const group = { ...source, group: 'billing' };
    const became = events.filter(({ event }) => event !== 'published' && event !== 'lag');
    expect(became).toHaveLength(5);
    expect(became).toEqual(
      expect.arrayContaining([
        { ...group, event: 'handled' },
        { ...group, event: 'retried' },
        { ...group, event: 'dead-lettered', reason: 'attempts' },
        { ...group, event: 'dead-lettered', reason: 'unrecoverable' },
        { ...group, event: 'unhandled' },
      ]),
    );
    expect(events.at(-1)).toMatchObject({ ...group, event: 'lag', lag: 0, pending: 0, deadLetters: 2 });
    expect(JSON.stringify(events)).not.toContain('canary');
  });

  it('tells of messages that were taken over, and of those that had been trimmed', async () => {
    const client = server.client();
    const [first = ''] = await addOrders(client, 1);
    await client.xgroup('CREATE', ordersKey, 'billing', '0');
    await client.xadd(ordersKey, '*', 't', 'order.created', 'd', '{"id":1}');
    await deliver(client, 2, 'vanished');
    await age(client, 30_000);
    await client.xdel(ordersKey, first);
    const events = hear();
    await start();
    await eventually(() => {
      expect(events).toEqual(
        expect.arrayContaining([
          expect.objectContaining({ event: 'reclaimed', count: 1, group: 'billing' }),
          expect.objectContaining({ event: 'trimmed', count: 1, group: 'billing' }),
        ]),
      );
    });
  });

  it('traces each run of a handler, with the trace of its publisher', async () => {
    const runs: HandlingContext[] = [];
    const hearRun = (context: unknown) => {
      runs.push(context as HandlingContext);
    };
    const { name } = handlingChannel.asyncEnd;
    expect(name).toBe('tracing:redstart:stream.handle:asyncEnd');
    subscribe(name, hearRun);
    endings.push(() => {
      unsubscribe(name, hearRun);
    });
    const app = await start();
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const headers = { traceparent, tracestate: 'a=b', tenant: secret };
    await producerOf(app).publish('order.created', { id: 1 }, { headers });
    await producerOf(app).publish('order.created', { id: 2 });
    await eventually(() => runs.length === 3);
    const run = { stream: 'orders', group: 'billing', size: 1, type: 'order.created' };
    const [handled, ...failed] = runs.toSorted((a, b) => Number('error' in a) - Number('error' in b));
    expect(handled).toEqual({ ...run, attempt: 1, traceparent, tracestate: 'a=b' });
    expect(failed).toMatchObject([1, 2].map((attempt) => ({ ...run, attempt, error: { message: secret } })));
  });

  it('does not mind a listener that throws', async () => {
    endings.push(
      onStreamTelemetry(() => {
        throw new Error('of a listener');
      }),
      onStreamTelemetry(() => Promise.reject(new Error('of a listener'))),
    );
    const events = hear();
    await producerOf(await start()).publish('order.created', { id: 1 });
    await eventually(() => events.some(({ event }) => event === 'handled'));
  });
});
