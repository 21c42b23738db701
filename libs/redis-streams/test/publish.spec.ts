import { RedisUnavailableError } from '@redstart/redis-core';
import { cluster, describeOn, FaultProxy, RedisServer, standalone } from '@redstart/redis-testing';
import { getStreamToken, RedisStreams, type StreamProducer } from '../src/index.js';
import { orders } from './support/orders.js';
import { ordersKey } from './support/read-redis.js';
import { closeApps, closingApps, startApp } from './support/start-app.js';

afterEach(closeApps);

describeOn(standalone, cluster)('publish', (redis) => {
  const start = async () => {
    const app = await startApp({ connection: redis.connection, streams: [orders] });
    return app.get<StreamProducer<typeof orders>>(getStreamToken(orders));
  };

  it('appends one entry with five fixed fields, and tells its id', async () => {
    const producer = await start();
    const { id, duplicate } = await producer.publish(
      'order.created',
      { id: 42 },
      { key: 'c-1', headers: { tenant: 'a' } },
    );

    const client = redis.client();
    expect(duplicate).toBe(false);
    expect(await client.xrange(ordersKey, '-', '+')).toEqual([
      [id, ['t', 'order.created', 'd', '{"id":42}', 'i', '', 'k', 'c-1', 'h', '{"tenant":"a"}']],
    ]);
  });

  it('adds a message id once, however often and however concurrently it is published', async () => {
    const producer = await start();
    const all = await Promise.all(
      Array.from({ length: 50 }, () => producer.publish('order.created', { id: 42 }, { messageId: 'created:42' })),
    );
    const client = redis.client();

    expect(await client.xlen(ordersKey)).toBe(1);
    expect(new Set(all.map(({ id }) => id)).size).toBe(1);
    expect(all.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
    const ttl = await client.pttl(`${ordersKey}:id:created:42`);
    expect(ttl).toBeGreaterThan(540_000);
    expect(ttl).toBeLessThanOrEqual(600_000);
  });

  it('refuses what does not fit the schema, with the path, and sends nothing', async () => {
    const producer = await start();
    await expect(producer.publish('order.paid', { id: 'x' })).rejects.toMatchObject({
      code: 'STREAM_INVALID_PAYLOAD',
      issues: [{ path: 'id', message: 'expected digits' }],
    });
    expect(await redis.client().exists(ordersKey)).toBe(0);
  });

  it('refuses an unknown event and an unknown option, by name', async () => {
    const producer = await start();
    await expect(producer.publish('order.lost' as never, {} as never)).rejects.toThrow(
      'Known events: order.created, order.paid, order.cancelled',
    );
    await expect(producer.publish('order.created', { id: 1 }, { priority: 1 } as never)).rejects.toThrow(
      'publish(options).priority: is not an option. Known options: key, messageId, headers, delay, at.',
    );
  });
});

describe('publish on a bad network', () => {
  it('reports an unknown outcome when the reply is lost, and a repetition by message id adds nothing', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    await using _apps = closingApps();
    const app = await startApp({ connection: { url: proxy.url }, streams: [orders] });
    const producer = app.get<StreamProducer<typeof orders>>(getStreamToken(orders));
    // The looks at delayed messages are scripts, too: the reply that gets lost is to be that of the publication.
    await app.get(RedisStreams).delays.stop();
    await producer.publish('order.created', { id: 1 }, { messageId: 'm-1' });
    const lost = proxy.dropReply('EVALSHA', { thenReset: true });

    const message = ['order.created', { id: 2 }, { messageId: 'm-2' }] as const;
    await expect(producer.publish(...message)).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE', outcome: 'unknown' });
    expect(lost.injected).toBe(1);
    expect(await producer.publish(...message)).toMatchObject({ duplicate: true });
    expect(await server.client().xlen(ordersKey)).toBe(2);
  });

  it('rejects within its budget, typed', async () => {
    await using server = await RedisServer.start();
    await using _apps = closingApps();
    const app = await startApp({
      connection: { url: server.url },
      streams: [orders],
      options: { publishTimeout: 300, consumers: false },
    });
    await server.kill();
    const startedAt = performance.now();
    const producer = app.get<StreamProducer<typeof orders>>(getStreamToken(orders));
    await expect(producer.publish('order.created', { id: 1 })).rejects.toBeInstanceOf(RedisUnavailableError);
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  });
});
