import { getRedisConnectionToken, type RedisConnection } from '@redstart/redis-core';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import { StreamAdmin } from '../../src/index.js';
import { addOrders, deliver, orderFields } from '../support/foreign-entries.js';
import { orders } from '../support/orders.js';
import { billingDeadLetters, ordersKey } from '../support/read-redis.js';
import { closeApps, startApp } from '../support/start-app.js';

afterEach(closeApps);

describeOn(standalone, cluster)('StreamAdmin: groups', (redis) => {
  const start = async () => {
    const app = await startApp({ connection: redis.connection, streams: [orders] });
    return { admin: app.get(StreamAdmin), client: redis.client() };
  };
  const createGroup = async (from = '0', stream = ordersKey) => {
    await redis.client().xgroup('CREATE', stream, 'billing', from, 'MKSTREAM');
  };
  /** What XINFO GROUPS says of the lag. */
  const reportedLag = async () => {
    const [row = []] = (await redis.client().xinfo('GROUPS', ordersKey)) as unknown[][];
    return row[row.indexOf('lag') + 1];
  };

  it('counts the lag exactly where XINFO answers null', async () => {
    const { admin, client } = await start();
    const ids = await addOrders(client, 10);
    await createGroup();
    await deliver(client, 3);
    await client.xdel(ordersKey, ids[5] ?? '', ids[7] ?? '');

    expect(await reportedLag()).toBeNull();
    expect(await admin.lag(orders, 'billing')).toBe(5);
    await client.xgroup('SETID', ordersKey, 'billing', ids[8] ?? '');
    expect(await admin.lag('orders', 'billing')).toBe(1);
  });

  it('counts the lag exactly after entries were trimmed that the group had not read', async () => {
    const { admin, client } = await start();
    await addOrders(client, 10);
    await createGroup();
    await deliver(client, 2);
    await client.xtrim(ordersKey, 'MAXLEN', 5);
    expect(await admin.lag(orders, 'billing')).toBe(5);
    await deliver(client, 2);
    expect(await admin.lag(orders, 'billing')).toBe(3);
    await deliver(client, 3);
    expect(await admin.lag(orders, 'billing')).toBe(0);
  });

  it('counts a lag of more than one slice, and no further than asked', async () => {
    const { admin, client } = await start();
    await addOrders(client, 1);
    await createGroup();
    await deliver(client, 1);
    const add = client.pipeline();
    for (let id = 0; id < 7_000; id += 1) add.xadd(ordersKey, '*', ...orderFields(id));
    await add.exec();

    expect(await admin.lag(orders, 'billing')).toBe(7_000);
    const limited = await admin.lag(orders, 'billing', { limit: 100 });
    expect(limited).toBeGreaterThan(100);
    expect(limited).toBeLessThan(7_000);
  });

  it('knows a group that has read nothing by the length of the stream', async () => {
    const { admin, client } = await start();
    await addOrders(client, 12);
    await createGroup();
    expect(await admin.lag(orders, 'billing')).toBe(12);
  });

  it('tells of each group how it stands', async () => {
    const { admin, client } = await start();
    const age = (ms: number) => `${Date.now() - ms}-0`;
    for (const ms of [90_000, 60_000, 30_000]) await client.xadd(ordersKey, age(ms), ...orderFields(ms));
    await createGroup();
    await client.xgroup('CREATE', ordersKey, 'audit', '$');
    await deliver(client, 1, 'c-1');
    await deliver(client, 1, 'c-2');
    await client.zadd(`${ordersKey}:retry:billing:due`, 1, '1-1', 2, '2-1');
    await client.xadd(billingDeadLetters, '*', 'x-id', '1-1');
    await admin.pause(orders, 'billing');

    const [audit, billing, ...others] = await admin.groups(orders);
    expect(others).toEqual([]);
    expect(audit).toMatchObject({ name: 'audit', lag: 0, pending: 0, retrying: 0, deadLetters: 0, paused: false });
    expect(audit).toMatchObject({ lagMs: undefined, oldestPendingMs: undefined });
    expect(billing).toMatchObject({ name: 'billing', consumers: 2, lag: 1, pending: 2 });
    expect(billing).toMatchObject({ retrying: 2, deadLetters: 1, paused: true });
    expect(billing?.lagMs).toBeGreaterThanOrEqual(30_000);
    expect(billing?.lagMs).toBeLessThan(60_000);
    expect(billing?.oldestPendingMs).toBeGreaterThanOrEqual(90_000);
    expect(await admin.groups('nothing')).toEqual([]);
  });

  it('counts what is pending in the stream and in the retry stream, by consumer, with the age of its publication', async () => {
    const { admin, client } = await start();
    const now = Date.now();
    for (const n of [1, 2, 3]) await client.xadd(ordersKey, `${now - 10_000}-${n}`, ...orderFields(n));
    await createGroup();
    await deliver(client, 2, 'c-1');
    await deliver(client, 1, 'c-2');
    const retry = `${ordersKey}:retry:billing`;
    for (const id of [9, 10]) await client.xadd(retry, '*', 'o', `${now - 100_000}-0`, 'a', '2', ...orderFields(id));
    await client.zadd(`${retry}:due`, 1, '1-1');
    await createGroup('0', retry);
    await deliver(client, 1, 'c-2', retry);

    const pending = await admin.pending(orders, 'billing');
    expect(pending).toMatchObject({ total: 4, byConsumer: { 'c-1': 2, 'c-2': 2 }, retrying: 2 });
    expect(pending.oldestMs).toBeGreaterThanOrEqual(100_000);
    expect(pending.oldestMs).toBeLessThan(200_000);
  });

  it('adds up the partitions of a stream', async () => {
    const { admin, client } = await start();
    for (const [partition, count] of [3, 4].entries()) {
      const key = `shop:stream:{orders/${partition}}`;
      await addOrders(client, count, key);
      await createGroup('0', key);
      await deliver(client, 1, 'c-1', key);
    }
    const target = { name: 'orders', partitions: 2 };
    const [billing] = await admin.groups(target);
    expect(billing).toMatchObject({ consumers: 1, lag: 5, pending: 2 });
    expect(billing?.lastDeliveredIds).toHaveLength(2);
    expect(await admin.pending(target, 'billing')).toMatchObject({ total: 2, byConsumer: { 'c-1': 2 } });
  });

  it('names the groups that there are when one is asked for that is not', async () => {
    const { admin, client } = await start();
    await addOrders(client, 1);
    await createGroup();
    for (const ask of [
      () => admin.lag(orders, 'bilings'),
      () => admin.pending(orders, 'bilings'),
      () => admin.pause(orders, 'bilings'),
      () => admin.reset(orders, 'bilings', { to: 'end' }),
      () => admin.resume(orders, 'bilings'),
      () => admin.deadLetters(orders, 'bilings').list(),
      () => admin.deadLetters(orders, 'bilings').replay(),
      () => admin.deadLetters(orders, 'bilings').purge(),
    ]) {
      await expect(ask()).rejects.toMatchObject({ code: 'STREAM_GROUP_NOT_FOUND', known: ['billing'] });
    }
    expect(await client.exists(`${ordersKey}:paused:bilings`)).toBe(0);
    // Of the group that there is, nothing is no error.
    await admin.resume(orders, 'billing');
    expect(await admin.deadLetters(orders, 'billing').purge()).toBe(0);
    await expect(admin.deadLetters(orders, 'billing').purge({ reason: 'nope' as never })).rejects.toThrow(
      'deadLetters.purge(filter).reason: expected one of attempts, ',
    );
    await expect(admin.resume({ name: 'orders', partitions: 2 }, 'billing')).rejects.toThrow('no stream "orders"');
  });

  it('lets a group go on from the start, the end, an entry or a moment', async () => {
    const { admin, client } = await start();
    for (const id of ['1000-0', '2000-0', '2000-1', '3000-0']) await client.xadd(ordersKey, id, ...orderFields(1));
    await createGroup();
    await deliver(client, 4);
    const lagAfter = async (to: string | Date) => {
      await admin.reset(orders, 'billing', { to });
      return admin.lag(orders, 'billing');
    };
    expect(await lagAfter('start')).toBe(4);
    expect(await lagAfter('end')).toBe(0);
    expect(await lagAfter('2000-1')).toBe(2);
    expect(await lagAfter('2000-0')).toBe(3);
    expect(await lagAfter(new Date(2_001))).toBe(1);
    // What was pending stays so.
    expect(await admin.pending(orders, 'billing')).toMatchObject({ total: 4 });
    await expect(lagAfter('yesterday')).rejects.toThrow('expected the id of an entry');
    await expect(lagAfter(new Date('x'))).rejects.toThrow('expected a valid Date');
  });

  it('pauses and resumes by a key, and tells whoever listens', async () => {
    const app = await startApp({ connection: redis.connection, streams: [orders] });
    const [admin, client] = [app.get(StreamAdmin), redis.client()];
    await createGroup();
    const key = `${ordersKey}:paused:billing`;
    const told: string[] = [];
    const { subscriber } = app.get<RedisConnection>(getRedisConnectionToken());
    await subscriber.subscribe(key, { onMessage: (message) => told.push(message) });
    await admin.pause(orders, 'billing');
    expect(await client.exists(key)).toBe(1);
    expect(await client.pttl(key)).toBe(-1);
    await eventually(() => told.length === 1);
    await admin.resume(orders, 'billing');
    expect(await client.exists(key)).toBe(0);
    await eventually(() => {
      expect(told).toEqual(['paused', 'resumed']);
    });
  });
});
