import { cluster, describeOn, eventually, RedisServer, standalone } from '@redstart/redis-testing';
import { defineStream, event, getStreamToken, type StreamProducer, type UnreadableEntry } from '../src/index.js';
import { compareIds } from '../src/reading/entry-id.js';
import { orders } from './support/orders.js';
import { ordersKey } from './support/read-redis.js';
import { closeApps, closingApps, startApp, type AppOptions } from './support/start-app.js';

afterEach(closeApps);

const parts = defineStream('parts', { events: { made: event<number>() }, partitions: 4 });

async function start(connection: AppOptions['connection']) {
  const app = await startApp({ connection, streams: [orders, parts] });
  return {
    producer: app.get<StreamProducer<typeof orders>>(getStreamToken(orders)),
    partitioned: app.get<StreamProducer<typeof parts>>(getStreamToken(parts)),
  };
}

async function all<T>(messages: AsyncIterable<T>): Promise<T[]> {
  const read: T[] = [];
  for await (const message of messages) read.push(message);
  return read;
}

describeOn(standalone, cluster)('read', (redis) => {
  it('gives all messages in order, with everything known of them, over many pages', async () => {
    const { producer } = await start(redis.connection);
    expect(await all(producer.read({ from: 'start' }))).toEqual([]);
    const first = await producer.publish('order.paid', { id: '7' }, { key: 'k', headers: { tenant: 'a' } });
    await producer.publishBatch(
      Array.from({ length: 1_200 }, (_, id) => ({ type: 'order.created', payload: { id }, messageId: `m-${id}` })),
    );

    const [paid, ...created] = await all(producer.read({ from: 'start' }));
    expect(paid).toEqual({
      ...{ id: first.id, messageId: first.id, type: 'order.paid', payload: { id: 7 }, key: 'k' },
      ...{ headers: { tenant: 'a' }, publishedAt: new Date(Number(first.id.split('-')[0])) },
    });
    expect(created.map(({ payload }) => payload.id)).toEqual(Array.from({ length: 1_200 }, (_, id) => id));
    expect(created[3]).toMatchObject({ messageId: 'm-3', type: 'order.created' });
    // Nothing was taken from anybody.
    expect(await redis.client().xinfo('GROUPS', ordersKey)).toEqual([]);
  });

  it('begins and ends where it is told, and gives the events that are asked for', async () => {
    const { producer } = await start(redis.connection);
    const client = redis.client();
    for (const [ms, n] of [1_000, 2_000, 2_000, 3_000].map((ms, n) => [ms, n] as const)) {
      const type = n === 3 ? 'order.cancelled' : 'order.created';
      await client.xadd(ordersKey, `${ms}-${n}`, 't', type, 'd', `{"id":${n}}`, 'i', '', 'k', '', 'h', '');
    }
    const read = async (options: Parameters<typeof producer.read>[0]) =>
      (await all(producer.read(options))).map(({ payload }) => payload.id);

    expect(await read({ from: '2000-2' })).toEqual([2, 3]);
    expect(await read({ from: new Date(2_000) })).toEqual([1, 2, 3]);
    expect(await read({ from: 'start', to: '2000-1' })).toEqual([0, 1]);
    expect(await read({ from: '1000', to: new Date(2_000) })).toEqual([0, 1, 2]);
    expect(await read({ from: 'start', to: new Date('2100-01-01') })).toEqual([0, 1, 2, 3]);
    expect(await read({ from: 'start', type: 'order.cancelled' })).toEqual([3]);
    expect(await read({ from: 'start', type: ['order.cancelled', 'order.paid'] })).toEqual([3]);
    expect(await read({ from: '4000' })).toEqual([]);
  });

  it('ends with the last entry that there was at its beginning', async () => {
    const { producer } = await start(redis.connection);
    // So many that the first page is full, and another one is asked for.
    for (let id = 0; id < 16; id += 1) await producer.publish('order.created', { id });
    let read = 0;
    for await (const { payload } of producer.read({ from: 'start' })) {
      expect(payload.id).toBe(read++);
      await producer.publish('order.created', { id: -1 });
    }
    expect(read).toBe(16);
  });

  it('merges partitions by their ids, and follows all of them until it is told to stop', async () => {
    const { partitioned } = await start(redis.connection);
    for (let n = 0; n < 40; n += 1) await partitioned.publish('made', n, { key: `k-${n % 7}` });
    const ids = (await all(partitioned.read({ from: 'start' }))).map(({ id }) => id);
    expect(ids).toHaveLength(40);
    expect(ids).toEqual(ids.toSorted(compareIds));

    const stop = new AbortController();
    const seen: number[] = [];
    const following = (async () => {
      for await (const { payload } of partitioned.read({ from: 'start', follow: true, signal: stop.signal })) {
        seen.push(payload);
      }
    })();
    await eventually(() => seen.length === 40);
    // One partition is busy all the time, which keeps nobody from the others.
    for (let n = 40; n < 80; n += 1) await partitioned.publish('made', n, { key: n === 60 ? 'k-1' : 'k-0' });
    await eventually(() => seen.length === 80);
    expect(seen.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 80 }, (_, n) => n));
    stop.abort();
    await following;
  });

  it('tells of entries that it can not read, and goes on behind them', async () => {
    const { producer } = await start(redis.connection);
    const client = redis.client();
    const foreign = [
      ['a', 'b'],
      ['t', 'order.created', 'd', '{"id":'],
      ['t', 'order.created', 'd', Buffer.from([0xc1, 1, 0, 0, 0, 9, 1, 2])],
      ['t', 'order.paid', 'd', '{"id":"x"}'],
      ['t', 'order.unheard-of', 'd', '1'],
    ];
    const ids: string[] = [];
    for (const fields of foreign) ids.push((await client.xadd(ordersKey, '*', ...fields)) ?? '');
    await producer.publish('order.created', { id: 1 });
    const unreadable: UnreadableEntry[] = [];
    const onUnreadable = (entry: UnreadableEntry) => unreadable.push(entry);

    expect(await all(producer.read({ from: 'start', onUnreadable }))).toMatchObject([{ payload: { id: 1 } }]);
    expect(unreadable.map(({ id }) => id)).toEqual(ids);
    expect(unreadable.map(({ error }) => (error as { code?: string }).code)).toEqual([
      ...Array.from({ length: 3 }, () => 'STREAM_UNDECODABLE_ENTRY'),
      ...['STREAM_INVALID_PAYLOAD', 'STREAM_UNDECODABLE_ENTRY'],
    ]);
    // Without a listener the log is told; of events that nobody asked for, nobody.
    expect(await all(producer.read({ from: 'start' }))).toHaveLength(1);
    unreadable.length = 0;
    expect(await all(producer.read({ from: 'start', type: 'order.cancelled', onUnreadable }))).toEqual([]);
    expect(unreadable).toEqual([]);
  });

  it('reads large payloads, which travel compressed', async () => {
    const { producer } = await start(redis.connection);
    const note = 'x'.repeat(200_000);
    for (let id = 0; id < 40; id += 1) await producer.publish('order.created', { id, note } as { id: number });
    const read = await all(producer.read({ from: 'start' }));
    expect(read.map(({ payload }) => payload)).toEqual(Array.from({ length: 40 }, (_, id) => ({ id, note })));
  });

  it.each([
    [{}, 'read({ from })'],
    [{ from: 'yesterday' }, 'read({ from })'],
    [{ from: new Date(NaN) }, 'read({ from })'],
    [{ from: 'start', to: 'end' }, 'read({ to })'],
    [{ from: 'start', type: 'order.lost' }, 'Known events'],
    [{ from: 'start', follow: true }, 'read({ follow })'],
    [{ from: 'start', follow: true, to: '1', signal: new AbortController().signal }, 'read({ follow, to })'],
    [{ from: 'start', signal: {} }, 'read({ signal })'],
    [{ from: 'start', page: 1 }, 'read(options).page'],
  ])('refuses %j at once', async (options, named) => {
    const { producer } = await start(redis.connection);
    expect(() => producer.read(options as never)).toThrow(named);
  });
});

describe('read, and an outage', () => {
  it('ends with the error, unless it follows: then it goes on', async () => {
    await using server = await RedisServer.start({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] });
    await using _apps = closingApps();
    const { producer } = await start({ url: server.url });
    await producer.publish('order.created', { id: 1 });
    const stop = new AbortController();
    const seen: number[] = [];
    const following = (async () => {
      for await (const { payload } of producer.read({ from: 'start', follow: true, signal: stop.signal })) {
        seen.push(payload.id);
      }
    })();
    await eventually(() => seen.length === 1);
    await server.kill();
    await expect(all(producer.read({ from: 'start' }))).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' });

    await server.restart();
    await eventually(() => producer.publish('order.created', { id: 2 }, { messageId: 'm-2' }), { within: 15_000 });
    await eventually(() => seen.length === 2, { within: 15_000 });
    expect(seen).toEqual([1, 2]);
    stop.abort();
    await following;
  }, 60_000);
});
