import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import {
  getStreamToken,
  StreamAdmin,
  StreamConsumer,
  StreamHandler,
  UnrecoverableError,
  type StreamContext,
  type StreamProducer,
} from '../../src/index.js';
import { addLetter, orderFields } from '../support/foreign-entries.js';
import { orders } from '../support/orders.js';
import { billingDeadLetters, entries, ordersKey } from '../support/read-redis.js';
import { closeApps, startApp } from '../support/start-app.js';

afterEach(closeApps);

const retryKey = `${ordersKey}:retry:billing`;
const fast = { rate: Infinity };

describeOn(standalone, cluster)('StreamAdmin: dead letters', (redis) => {
  const start = async () => {
    const app = await startApp({ connection: redis.connection, streams: [orders] });
    return { letters: app.get(StreamAdmin).deadLetters(orders, 'billing'), client: redis.client() };
  };
  /** @returns the ids of all letters, the oldest first: which of these is which, their order does not tell */
  const addLetters = async (count: number) => {
    const client = redis.client();
    await Promise.all(Array.from({ length: count }, (_, index) => addLetter(client, index + 1)));
    return (await client.xrange(billingDeadLetters, '-', '+')).map(([id]) => id);
  };

  it('shows what a consumer gave up on, and why', async () => {
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @StreamHandler(orders.event('order.created'))
      created() {
        throw new UnrecoverableError('no such customer');
      }
    }
    const app = await startApp({ connection: redis.connection, streams: [orders], consumers: [Billing] });
    const producer = app.get<StreamProducer<typeof orders>>(getStreamToken(orders));
    const { id } = await producer.publish(
      'order.created',
      { id: 42 },
      { key: 'c-1', messageId: 'm-42', headers: { tenant: 'a' } },
    );
    const letters = app.get(StreamAdmin).deadLetters(orders, 'billing');
    await eventually(async () => (await letters.count()) === 1);

    const [letter] = await letters.list();
    expect(letter).toMatchObject({
      entryId: id,
      reason: 'unrecoverable',
      attempts: 1,
      deliveries: 1,
      error: { name: 'UnrecoverableError', message: 'no such customer' },
      message: { type: 'order.created', payload: { id: 42 }, key: 'c-1', messageId: 'm-42', headers: { tenant: 'a' } },
    });
    expect(letter?.since.getTime()).toBeGreaterThanOrEqual(Number(id.split('-')[0]));
    expect(await letters.peek(letter?.id ?? '')).toEqual(letter);
    expect(await letters.peek('1-1')).toBeUndefined();
    for (const id of ['nonsense', '99999999999999999999-0']) expect(await letters.peek(id)).toBeUndefined();
  });

  it('replays to the group that gave up, and to no other: it handles the message as if for the first time', async () => {
    const seen: string[] = [];
    let broken = true;
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @StreamHandler(orders.event('order.created'))
      created(_: unknown, { id, attempt, headers }: StreamContext) {
        if (broken) throw new UnrecoverableError('a bug');
        seen.push(`${id} ${attempt} ${Object.keys(headers).join()}`);
      }
    }
    @StreamConsumer(orders, { group: 'audit' })
    class Audit {
      @StreamHandler(orders.event('order.created'))
      created() {
        seen.push('audit');
      }
    }
    const app = await startApp({ connection: redis.connection, streams: [orders], consumers: [Billing, Audit] });
    const producer = app.get<StreamProducer<typeof orders>>(getStreamToken(orders));
    const { id } = await producer.publish('order.created', { id: 1 });
    const letters = app.get(StreamAdmin).deadLetters(orders, 'billing');
    await eventually(async () => (await letters.count()) === 1);
    await eventually(() => seen.length === 1);
    broken = false;
    expect(await letters.replay()).toEqual({ replayed: 1, empty: 0 });
    await eventually(() => seen.length === 2);
    expect(seen).toEqual(['audit', `${id} 1 x-replayed-from`]);
    await eventually(async () => (await app.get(StreamAdmin).pending(orders, 'billing')).total === 0);
    expect(await letters.count()).toBe(0);
  });

  it('lists those that match, page after page, also ones that can not be decoded', async () => {
    const { letters, client } = await start();
    const ids = await addLetters(120);
    const schema = await addLetter(client, 121, { reason: 'schema', error: 'InvalidPayloadError' });
    const foreign = await addLetter(client, 122, { reason: 'undecodable', fields: ['body', '\ufffd'] });
    const matching = async (filter: Parameters<typeof letters.list>[0]) =>
      (await letters.list({ limit: 1_000, ...filter })).map(({ id }) => id);

    expect(await letters.list()).toHaveLength(100);
    expect(await matching({})).toEqual([...ids, schema, foreign]);
    expect(await matching({ limit: 3 })).toEqual(ids.slice(0, 3));
    expect(await matching({ reason: 'schema' })).toEqual([schema]);
    expect(await matching({ error: 'InvalidPayloadError' })).toEqual([schema]);
    expect(await matching({ type: 'order.created' })).toEqual([...ids, schema]);
    expect(await matching({ ids: [ids[70] ?? '', foreign] })).toEqual([ids[70], foreign]);
    expect(await matching({ where: ({ message }) => message === undefined })).toEqual([foreign]);
    expect(await matching({ before: new Date(0) })).toEqual([]);
    expect(await matching({ after: new Date(0), reason: 'undecodable' })).toEqual([foreign]);
  });

  it('replays a letter to its group alone: original id, attempts from the beginning, and where it comes from', async () => {
    const { letters, client } = await start();
    const id = await addLetter(client, 7, { headers: '{"tenant":"a/b"}' });
    expect(await letters.replay({ ids: [id] })).toEqual({ replayed: 1, empty: 0 });

    expect(await entries(client, billingDeadLetters)).toEqual([]);
    const [entry] = await entries(client, retryKey);
    expect(entry).toMatchObject({ o: '100-7', a: '0', t: 'order.created', d: '{"id":7}', i: 'm-7', k: '' });
    expect(JSON.parse(entry?.['h'] ?? '')).toEqual({ tenant: 'a/b', 'x-replayed-from': id });
    expect(Object.keys(entry ?? {})).toEqual(['o', 'a', 't', 'd', 'i', 'k', 'h']);
    // The group reads it, from the first one on; the stream itself, which other groups read, is untouched.
    expect(await client.xinfo('GROUPS', retryKey)).toEqual([expect.arrayContaining(['billing', '0-0'])]);
    expect(await client.exists(ordersKey)).toBe(0);
  });

  it('replays a letter that has been replayed before with its latest id, and without what retries put in front', async () => {
    const { letters, client } = await start();
    const id = await addLetter(client, 7, {
      fields: ['o', '100-7', 'a', '5', ...orderFields(7, '{"x-replayed-from":"1-1"}')],
    });
    await letters.replay({}, fast);
    const [entry] = await client.xrange(retryKey, '-', '+');
    expect(entry?.[1]).toEqual(['o', '100-7', 'a', '0', ...orderFields(7, `{"x-replayed-from":"${id}"}`)]);
  });

  it('replays each letter once, however many do it at a time, with a purge between them', async () => {
    const { letters, client } = await start();
    await addLetters(120);
    const [one, other, purged] = await Promise.all([
      letters.replay({}, fast),
      letters.replay({}, fast),
      letters.purge({ where: ({ message }) => Number(message?.messageId.slice(2)) % 3 === 0 }),
    ]);
    expect(await client.xlen(billingDeadLetters)).toBe(0);
    const replayed = (await entries(client, retryKey)).map(({ i }) => i);
    expect(new Set(replayed).size).toBe(replayed.length);
    expect(one.replayed + other.replayed).toBe(replayed.length);
    expect(replayed.length + purged).toBe(120);
  });

  it('leaves what fails again during a replay alone', async () => {
    const { letters, client } = await start();
    await addLetters(60); // more than one page
    const again: Promise<string>[] = [];
    const onProgress = (done: number) => {
      if (done <= 3) again.push(addLetter(client, 100 + done));
    };
    const { replayed } = await letters.replay({}, { ...fast, onProgress });
    await Promise.all(again);
    expect(replayed).toBe(60);
    expect((await letters.list()).map(({ message }) => message?.messageId).sort()).toEqual(['m-101', 'm-102', 'm-103']);
  });

  it('replays no faster than told, and ends when it is', async () => {
    const { letters, client } = await start();
    await addLetters(5);
    const startedAt = performance.now();
    await letters.replay({ where: ({ message }) => message?.messageId !== 'm-5' }, { rate: 10 });
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(299);
    expect(await client.xlen(retryKey)).toBe(4);

    await addLetters(2);
    const end = new AbortController();
    const replay = letters.replay(
      {},
      {
        rate: 0.01,
        signal: end.signal,
        onProgress: () => {
          end.abort(new Error('enough'));
        },
      },
    );
    await expect(replay).rejects.toThrow('enough');
    expect(await client.xlen(retryKey)).toBe(5);
    expect(await letters.count()).toBe(2);
  });

  it('keeps a letter that it can not replay', async () => {
    const { letters, client } = await start();
    await addLetter(client, 1, { fields: [] });
    expect(await letters.replay({}, fast)).toEqual({ replayed: 0, empty: 1 });
    expect(await letters.count()).toBe(1);

    await addLetter(client, 2);
    await client.set(retryKey, 'something else');
    await expect(letters.replay({ type: 'order.created' }, fast)).rejects.toThrow('WRONGTYPE');
    expect(await letters.count()).toBe(2);
    expect(await client.get(retryKey)).toBe('something else');
  });

  it('purges what matches, or all, and nothing by a misspelt filter', async () => {
    const { letters, client } = await start();
    await addLetters(60);
    await addLetter(client, 61, { reason: 'schema' });
    await expect(letters.purge({ reasn: 'schema' } as never)).rejects.toThrow(
      'deadLetters.purge(filter).reasn: is not an option',
    );
    await expect(letters.replay({ type: '' })).rejects.toThrow('deadLetters.replay(filter).type');
    await expect(letters.purge({ reason: undefined } as never)).rejects.toThrow(
      'deadLetters.purge(filter).reason: is undefined, which would match everything',
    );
    await expect(letters.purge({ before: new Date('never') })).rejects.toThrow('expected a valid Date');
    await expect(letters.replay({}, { rate: 0 })).rejects.toThrow('rate');
    expect(await letters.count()).toBe(61);

    expect(await letters.purge({ reason: 'schema' })).toBe(1);
    const done: number[] = [];
    expect(await letters.purge({}, { onProgress: (count) => done.push(count) })).toBe(60);
    expect(done).toEqual([50, 60]);
    expect(await letters.count()).toBe(0);
  });

  it('goes through the letters of all partitions', async () => {
    const app = await startApp({ connection: redis.connection, streams: [orders] });
    const client = redis.client();
    const letters = app.get(StreamAdmin).deadLetters({ name: 'orders', partitions: 2 }, 'billing');
    for (const partition of [0, 1]) {
      const story = ['x-id', `5-${partition}`, 'x-reason', 'attempts'];
      await client.xadd(`shop:stream:{orders/${partition}}:dlq:billing`, '7-0', ...story, ...orderFields(partition));
    }
    expect((await letters.list()).map(({ id }) => id)).toEqual(['0/7-0', '1/7-0']);
    expect(await letters.peek('1/7-0')).toMatchObject({ entryId: '5-1' });
    expect(await letters.replay({ ids: ['1/7-0'] })).toEqual({ replayed: 1, empty: 0 });
    expect(await client.xlen('shop:stream:{orders/1}:retry:billing')).toBe(1);
    expect(await letters.purge()).toBe(1);
    expect(await letters.count()).toBe(0);
  });
});
