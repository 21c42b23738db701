import { cluster, describeOn, eventually, FaultProxy, RedisServer, standalone } from '@redstart/redis-testing';
import { getStreamToken, RedisStreams, type StreamProducer } from '../src/index.js';
import { orders } from './support/orders.js';
import { entries, ordersKey } from './support/read-redis.js';
import { closeApps, closingApps, startApp, type AppOptions } from './support/start-app.js';

afterEach(closeApps);

const dueKey = `${ordersKey}:due`;

async function producerOn(connection: AppOptions['connection'], options: AppOptions['options'] = {}) {
  const app = await startApp({ connection, streams: [orders], options });
  return app.get<StreamProducer<typeof orders>>(getStreamToken(orders));
}

describeOn(standalone, cluster)('a delayed message', (redis) => {
  it('is added to the stream when it is due, whole', async () => {
    const producer = await producerOn(redis.connection);
    const options = { key: 'c-1', messageId: 'm-1', headers: { tenant: 'a' }, delay: 100 } as const;
    const { id, duplicate, dueAt } = await producer.publish('order.created', { id: 42 }, options);
    const client = redis.client();

    expect({ id, duplicate }).toEqual({ id: 'm-1', duplicate: false });
    await eventually(async () => (await client.xlen(ordersKey)) === 1);
    expect(await entries(client, ordersKey)).toEqual([
      { t: 'order.created', d: '{"id":42}', i: 'm-1', k: 'c-1', h: '{"tenant":"a"}' },
    ]);
    const [[entryId] = ['']] = await client.xrange(ordersKey, '-', '+');
    expect(Number(entryId.split('-')[0])).toBeGreaterThanOrEqual(dueAt?.getTime() ?? Infinity);
  });

  it('may be given a moment, also one that is past', async () => {
    const producer = await producerOn(redis.connection);
    const at = new Date('2040-01-01T00:00:00Z');
    expect(await producer.publish('order.created', { id: 1 }, { at })).toMatchObject({ dueAt: at });
    await producer.publish('order.created', { id: 2 }, { at: new Date('2020-01-01T00:00:00Z') });

    const client = redis.client();
    await eventually(async () => (await client.xlen(ordersKey)) === 1);
    expect(await entries(client, ordersKey)).toMatchObject([{ d: '{"id":2}' }]);
    expect(await client.zcard(dueKey)).toBe(1);
  });

  it('is published at once with a delay of 0', async () => {
    const producer = await producerOn(redis.connection);
    const { id } = await producer.publish('order.created', { id: 1 }, { delay: 0 });
    expect(await redis.client().xrange(ordersKey, id, id)).toHaveLength(1);
  });

  it('is cancelled and rescheduled by its id, with and without a message id', async () => {
    const producer = await producerOn(redis.connection);
    const client = redis.client();
    for (const extra of [{}, { messageId: 'm-1' }]) {
      const cancelled = await producer.publish('order.created', { id: 1 }, { delay: '1h', ...extra });
      expect(await producer.cancel(cancelled.id)).toBe(true);
      expect(await producer.cancel(cancelled.id)).toBe(false);
      expect(await producer.reschedule(cancelled.id, '1h')).toBe(false);
      expect(await client.exists(dueKey, `${ordersKey}:delayed`, `${ordersKey}:id:m-1`)).toBe(0);

      const moved = await producer.publish('order.created', { id: 2 }, { delay: '1h', ...extra });
      expect(moved.duplicate).toBe(false);
      expect(await producer.reschedule(moved.id, new Date(0))).toBe(true);
      await eventually(async () => (await client.zcard(dueKey)) === 0);
      expect(await producer.cancel(moved.id)).toBe(false);
    }
    expect(await client.xlen(ordersKey)).toBe(2);
  });

  it('is scheduled once under its message id, and remembered after it was due as any other', async () => {
    const producer = await producerOn(redis.connection, { deduplicationWindow: '5m' });
    const client = redis.client();
    const publish = () => producer.publish('order.created', { id: 1 }, { messageId: 'm-1', delay: '1h' });
    const all = await Promise.all(Array.from({ length: 20 }, publish));
    const { dueAt } = all[0] ?? {};

    expect(all.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
    expect(all.every(({ id, dueAt: due }) => id === 'm-1' && due?.getTime() === dueAt?.getTime())).toBe(true);
    // As long as it waits, and the window after it.
    const ttl = await client.pttl(`${ordersKey}:id:m-1`);
    expect(ttl).toBeGreaterThan(3_600_000 + 240_000);
    expect(ttl).toBeLessThanOrEqual(3_600_000 + 300_000);
    // Nor may it be published without a delay meanwhile.
    const now = await producer.publish('order.created', { id: 1 }, { messageId: 'm-1' });
    expect(now).toEqual({ id: 'm-1', duplicate: true });

    await producer.reschedule('m-1', 0);
    await eventually(async () => (await client.xlen(ordersKey)) === 1);
    expect(await publish()).toEqual({ id: 'm-1', duplicate: true });
    expect(await client.pttl(`${ordersKey}:id:m-1`)).toBeLessThanOrEqual(300_000);
  });

  it('is a duplicate of an earlier one that was published', async () => {
    const producer = await producerOn(redis.connection);
    const { id } = await producer.publish('order.created', { id: 1 }, { messageId: 'm-1' });
    expect(await producer.publish('order.created', { id: 1 }, { messageId: 'm-1', delay: '1h' })).toEqual({
      id,
      duplicate: true,
    });
    expect(await redis.client().exists(dueKey)).toBe(0);
  });

  it.each([
    [{ delay: '5s', at: new Date() }, 'publish({ delay, at })'],
    [{ delay: 'soon' }, 'publish({ delay })'],
    [{ delay: -1 }, 'publish({ delay })'],
    [{ at: new Date(NaN) }, 'publish({ at })'],
  ])('is refused with %j', async (options, named) => {
    const producer = await producerOn(redis.connection);
    await expect(producer.publish('order.created', { id: 1 }, options as never)).rejects.toThrow(named);
  });
});

describe('a delayed message on a bad network', () => {
  it('is there once when the reply was lost and it is published again', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    await using _apps = closingApps();
    const app = await startApp({ connection: { url: proxy.url }, streams: [orders] });
    const producer = app.get<StreamProducer<typeof orders>>(getStreamToken(orders));
    // Its looks are scripts, too: the reply that gets lost is to be that of the publication.
    await app.get(RedisStreams).delays.stop();
    const message = ['order.created', { id: 1 }, { messageId: 'm-1', delay: '1h' }] as const;
    await producer.publish('order.created', { id: 0 }, { messageId: 'm-0', delay: '1h' });
    const lost = proxy.dropReply('EVALSHA', { thenReset: true });

    await expect(producer.publish(...message)).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE', outcome: 'unknown' });
    expect(lost.injected).toBe(1);
    expect(await producer.publish(...message)).toMatchObject({ id: 'm-1', duplicate: true });
    expect(await server.client().zrange(dueKey, '0', '-1')).toEqual(['m-0', 'm-1']);
  });
});
