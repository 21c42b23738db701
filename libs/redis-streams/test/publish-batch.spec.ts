import { getRedisConnectionToken, type RedisConnection } from '@redstart/redis-core';
import { cluster, describeOn, eventually, FaultProxy, RedisServer, standalone } from '@redstart/redis-testing';
import { Redis } from 'ioredis';
import {
  BatchPublishError,
  defineStream,
  event,
  getStreamToken,
  RedisStreams,
  type StreamProducer,
} from '../src/index.js';
import { orders } from './support/orders.js';
import { entries, ordersKey } from './support/read-redis.js';
import { closeApps, closingApps, startApp, type AppOptions } from './support/start-app.js';

afterEach(closeApps);

async function start(connection: AppOptions['connection'], options: AppOptions['options'] = {}) {
  const app = await startApp({ connection, streams: [orders], options });
  return { app, producer: app.get<StreamProducer<typeof orders>>(getStreamToken(orders)) };
}

const created = (id: number) => ({ type: 'order.created', payload: { id } }) as const;

describeOn(standalone, cluster)('publishBatch', (redis) => {
  it('appends all messages in their order, each with its own options', async () => {
    const { producer } = await start(redis.connection);
    const client = redis.client();
    expect(await producer.publishBatch([])).toEqual([]);
    await producer.publish('order.created', { id: 0 }, { messageId: 'm-0' });
    const published = await producer.publishBatch([
      { ...created(1), key: 'c-1' },
      { ...created(0), messageId: 'm-0' },
      { type: 'order.paid', payload: { id: '2' }, headers: { tenant: 'a' } },
      { ...created(3), delay: '1h' },
    ]);

    expect(published.map(({ duplicate }) => duplicate)).toEqual([false, true, false, false]);
    expect(published[3]?.dueAt).toBeInstanceOf(Date);
    expect(await entries(client, ordersKey)).toMatchObject([
      { d: '{"id":0}', i: 'm-0' },
      { d: '{"id":1}', k: 'c-1' },
      { d: '{"id":"2"}', h: '{"tenant":"a"}' },
    ]);
    const many = await producer.publishBatch(Array.from({ length: 2_500 }, (_, id) => created(id)));
    const ids = (await client.xrange(ordersKey, '-', '+')).slice(3).map(([id]) => id);
    expect(many.map(({ id }) => id)).toEqual(ids);
  });

  it('keeps the order where the server does not know the scripts (any more)', async () => {
    const { producer } = await start(redis.connection);
    const client = redis.client();
    const batch = (round: number) =>
      producer.publishBatch([
        { ...created(0), delay: '1h', messageId: `later-${round}` },
        created(1),
        { ...created(2), messageId: `a-${round}` },
        created(3),
        { ...created(4), messageId: `b-${round}` },
        { ...created(0), messageId: `later-${round}` },
        created(5),
      ]);
    for (const round of [1, 2]) {
      const nodes = client instanceof Redis ? [client] : client.nodes('master');
      await Promise.all(nodes.map((node) => node.script('FLUSH', 'SYNC')));
      const published = await batch(round);
      // What waits is there before its repetition.
      expect(published.map(({ duplicate }) => duplicate)).toEqual([...Array<boolean>(5).fill(false), true, false]);
      const found = (await entries(client, ordersKey)).slice(-5).map(({ d }) => d);
      expect(found).toEqual([1, 2, 3, 4, 5].map((id) => JSON.stringify({ id })));
    }
  });

  it('publishes the others when some are refused, and tells of each', async () => {
    const { producer } = await start(redis.connection);
    const messages = [
      created(1),
      { type: 'order.paid', payload: { id: 'x' } },
      { type: 'order.lost', payload: 1 },
      { ...created(2), messageId: '' },
      null,
      created(3),
    ];
    const error = await producer.publishBatch(messages as never).catch((reason: unknown) => reason);

    expect(error).toBeInstanceOf(BatchPublishError);
    expect(error).toMatchObject({
      code: 'STREAM_BATCH_INCOMPLETE',
      message: expect.stringContaining('4 of 6 messages were not published') as string,
      outcomes: [
        { status: 'fulfilled', value: { duplicate: false } },
        { status: 'rejected', reason: { code: 'STREAM_INVALID_PAYLOAD' } },
        ...Array.from({ length: 3 }, () => ({ status: 'rejected', reason: { code: 'INVALID_OPTIONS' } })),
        { status: 'fulfilled', value: { duplicate: false } },
      ],
    });
    expect(await entries(redis.client(), ordersKey)).toMatchObject([{ d: '{"id":1}' }, { d: '{"id":3}' }]);
    await expect(producer.publishBatch('all' as never)).rejects.toThrow('expected an array of messages');
  });
});

describe('publishing on one server', () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    await server.client().flushall();
  });

  /** How often the request connection hands something to the kernel. */
  function countWrites(connection: RedisConnection): () => number {
    if (!(connection.client instanceof Redis)) throw new Error('one server has one socket');
    const { stream } = connection.client;
    let writes = 0;
    for (const name of ['_write', '_writev'] as const) {
      const write: unknown = Reflect.get(stream, name);
      if (typeof write !== 'function') throw new Error(`a socket has ${name}`);
      Reflect.set(stream, name, (...args: unknown[]) => {
        writes += 1;
        Reflect.apply(write, stream, args);
      });
    }
    return () => writes;
  }

  it('sends everything of a tick in one write, plain, deduplicated or delayed, in a batch or one by one', async () => {
    const { app, producer } = await start({ url: server.url }, { consumers: false });
    await producer.publishBatch([
      { ...created(1), messageId: 'm' },
      { ...created(1), delay: '1h' },
    ]); // From here on the scripts are known.
    const connection = app.get<RedisConnection>(getRedisConnectionToken());
    const messages = Array.from({ length: 100 }, (_, id) => [
      created(id),
      { ...created(id), messageId: `m-${id}` },
      { ...created(id), delay: '1h' as const },
    ]).flat();
    // The mover of delayed messages writes once in a while as well.
    await app.get(RedisStreams).delays.stop();
    const writes = countWrites(connection);
    await producer.publishBatch(messages);
    expect(writes()).toBe(1);
    await Promise.all(messages.map(({ type, payload }) => producer.publish(type, payload)));
    expect(writes()).toBe(2);
    expect(await server.client().xlen(ordersKey)).toBe(1 + 200 + 300);
  });

  it('tells which messages of a batch may be there when the connection breaks', async () => {
    await using proxy = await FaultProxy.start(server);
    await using _apps = closingApps();
    const { producer } = await start({ url: proxy.url }, { consumers: false });
    await producer.publish('order.created', { id: 0 });
    const lost = proxy.dropReply('XADD', { thenReset: true });
    const error = await producer.publishBatch([created(1), created(2)]).catch((reason: unknown) => reason);
    expect(lost.injected).toBe(1);
    expect(error).toMatchObject({
      outcomes: Array.from({ length: 2 }, () => ({
        status: 'rejected',
        reason: { code: 'REDIS_UNAVAILABLE', outcome: 'unknown' },
      })),
    });
  });

  it('compresses payloads from 8 KiB on, and leaves smaller ones as they always were', async () => {
    const { producer } = await start({ url: server.url });
    const notes = defineStream('notes', { events: { note: event<string>() } });
    const app = await startApp({ connection: { url: server.url }, streams: [notes], options: { compressFrom: false } });
    const plain = app.get<StreamProducer<typeof notes>>(getStreamToken(notes));
    const large = { id: 1, note: 'x'.repeat(8_192) };
    await producer.publish('order.created', { id: 1 });
    await producer.publish('order.created', large);
    await plain.publish('note', large.note);
    const client = server.client();
    const sizes = (await client.xrangeBuffer(ordersKey, '-', '+')).map(([, fields]) => fields[3]);
    expect(sizes[0]).toEqual(Buffer.from('{"id":1}'));
    expect(sizes[1]?.length).toBeLessThan(200);
    const [[, fields] = ['', []]] = await client.xrange('shop:stream:{notes}', '-', '+');
    expect(fields[3]).toBe(JSON.stringify(large.note));
  });

  it('refuses a payload above the limit, and says how large it is', async () => {
    const { producer } = await start({ url: server.url });
    const payload = { id: 1, note: 'x'.repeat(10_000_000) };
    await expect(producer.publish('order.created', payload)).rejects.toMatchObject({
      code: 'STREAM_PAYLOAD_TOO_LARGE',
      bytes: 10_000_018,
      maxBytes: 1_048_576,
      message: expect.stringContaining('takes 10000018 bytes when encoded; maxPayloadBytes allows 1048576') as string,
    });
    expect(await server.client().exists(ordersKey)).toBe(0);
  });

  it.each([
    [{ key: 7 }, 'publish({ key })'],
    [{ key: 'k'.repeat(1_025) }, 'publish({ key }): expected a string of at most 1024 characters'],
    [{ messageId: '' }, 'publish({ messageId })'],
    [{ messageId: 'm'.repeat(257) }, 'publish({ messageId })'],
    [{ headers: 'none' }, 'publish({ headers })'],
    [{ headers: { tenant: 7 } }, "publish({ headers })['tenant']"],
    [{ headers: { note: 'x'.repeat(65_536) } }, 'publish({ headers }): take 65547 characters'],
    ['fast', 'publish(options): got "fast"; expected an object of options'],
  ])('refuses wrong options, and sends nothing: %#', async (options, named) => {
    const { producer } = await start({ url: server.url });
    await expect(producer.publish('order.created', { id: 1 }, options as never)).rejects.toThrow(named);
    await expect(producer.publish('order.created', (() => 1) as never)).rejects.toMatchObject({
      code: 'UNSUPPORTED_VALUE',
    });
    expect(await server.client().exists(ordersKey)).toBe(0);
  });

  it('adds the headers of the hook, under those of the message', async () => {
    let tenant: string | undefined = 'a';
    const { producer } = await start(
      { url: server.url },
      { headers: () => (tenant === undefined ? undefined : { tenant, region: 'eu' }) },
    );
    await producer.publish('order.created', { id: 1 });
    await producer.publish('order.created', { id: 2 }, { headers: { tenant: 'b' } });
    tenant = undefined;
    await producer.publish('order.created', { id: 3 });
    const headers = (await entries(server.client(), ordersKey)).map(({ h }) => h);
    expect(headers).toEqual(['{"tenant":"a","region":"eu"}', '{"tenant":"b","region":"eu"}', undefined]);
  });

  it('routes by key to the partitions, each with its own hash tag', async () => {
    const parts = defineStream('parts', { events: { made: event<number>() }, partitions: 4 });
    const app = await startApp({ connection: { url: server.url }, streams: [parts] });
    const producer = app.get<StreamProducer<typeof parts>>(getStreamToken(parts));
    const client = server.client();
    // murmur3('a') = 0x3c2569b2, so partition 2.
    for (const n of [1, 2, 3]) await producer.publish('made', n, { key: 'a' });
    expect((await entries(client, 'shop:stream:{parts/2}')).map(({ d }) => d)).toEqual(['1', '2', '3']);
    for (let n = 0; n < 8; n += 1) await producer.publish('made', n);
    const lengths = await Promise.all([0, 1, 2, 3].map((n) => client.xlen(`shop:stream:{parts/${n}}`)));
    expect(lengths).toEqual([2, 2, 5, 2]);

    // A repetition and a cancellation find their message without being told its key.
    const first = await producer.publish('made', 1, { messageId: 'm-1' });
    expect(await producer.publish('made', 1, { messageId: 'm-1' })).toEqual({ ...first, duplicate: true });
    const { id } = await producer.publish('made', 9, { key: 'a', delay: '1h' });
    expect(await producer.reschedule(id, 1)).toBe(true);
    await eventually(async () => (await client.xlen('shop:stream:{parts/2}')) >= 6);
    expect(await producer.cancel(id)).toBe(false);
  });

  it('refuses a name with a slash, and a number of partitions that is none', () => {
    const events = { made: event<number>() };
    expect(() => defineStream('a/b', { events })).toThrow('holds a "/"');
    expect(() => defineStream('a', { events, partitions: 0 })).toThrow('partitions');
  });
});
