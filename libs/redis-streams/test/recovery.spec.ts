import { jest } from '@jest/globals';
import type { LoggerService } from '@nestjs/common';
import type { TestingModule } from '@nestjs/testing';
import { getRedisConnectionToken, type RedisConnection } from '@redstart/redis-core';
import { cluster, describeOn, eventually, FaultProxy, RedisServer, standalone } from '@redstart/redis-testing';
import {
  getStreamToken,
  StreamConsumer,
  StreamHandler,
  type StreamContext,
  type StreamProducer,
} from '../src/index.js';
import { ReadAhead } from '../src/consumer/read-ahead.js';
import { orders, type OrderCreated } from './support/orders.js';
import { age, billingDeadLetters, consumers, entries, ordersKey, pending } from './support/read-redis.js';
import { closeApps, closingApps, startApp, type AppOptions } from './support/start-app.js';

afterEach(closeApps);

type Orders = StreamProducer<typeof orders>;

/** A consumer whose handlers end when the test says so, or at once. */
function consumerClass(behaviour: (order: OrderCreated, ctx: StreamContext) => unknown, concurrency = 10) {
  @StreamConsumer(orders, { group: 'billing', concurrency })
  class Billing {
    @StreamHandler(orders.event('order.created'))
    created(order: OrderCreated, ctx: StreamContext): unknown {
      return behaviour(order, ctx);
    }
  }
  return Billing;
}

/** The process dies, as far as Redis can tell: every connection is cut, nothing is acknowledged or said. */
async function cut(app: TestingModule): Promise<void> {
  await app.get<RedisConnection>(getRedisConnectionToken()).close();
}

/** Kills the connections that are blocked in a read. @returns how many there were */
async function killReader(server: RedisServer): Promise<number> {
  const admin = server.client();
  const isReader = (line: string) => line.includes('cmd=xreadgroup') && / flags=\w*b/.test(line);
  const lines = await eventually(async () => {
    const readers = String(await admin.client('LIST'))
      .split('\n')
      .filter(isReader);
    expect(readers).not.toEqual([]);
    return readers;
  });
  for (const line of lines) await admin.client('KILL', 'ID', /^id=(\d+)/.exec(line)?.[1] ?? '');
  return lines.length;
}

/** A logger that writes down the warnings. */
const noting = (warnings: string[]): LoggerService => {
  const log = () => undefined;
  return { log, error: log, warn: (message: unknown) => warnings.push(String(message)) };
};

const never = () => new Promise<void>(() => undefined);

describeOn(standalone, cluster)('recovery of entries', (redis) => {
  it('hands over what a dead application was working on', async () => {
    let begun = 0;
    const dead = await startApp({
      connection: redis.connection,
      streams: [orders],
      consumers: [
        consumerClass(() => {
          begun += 1;
          return never();
        }),
      ],
      options: { drainTimeout: 0 },
    });
    const producer = dead.get<Orders>(getStreamToken(orders));
    for (const id of [1, 2, 3]) await producer.publish('order.created', { id });
    await eventually(() => begun === 3);
    await cut(dead);
    await age(redis.client(), 30_000);

    const seen: { id: number; deliveries: number }[] = [];
    await startApp({
      connection: redis.connection,
      streams: [orders],
      consumers: [consumerClass(({ id }, { deliveries }) => seen.push({ id, deliveries }))],
    });
    await eventually(() => seen.length === 3);
    expect(seen.toSorted((a, b) => a.id - b.id)).toEqual([1, 2, 3].map((id) => ({ id, deliveries: 2 })));
    await eventually(async () => (await pending(redis.client())).length === 0);
  });

  it('tells loudly of entries that were deleted before they were handled', async () => {
    const client = redis.client();
    const ids = [];
    for (const id of [1, 2, 3]) {
      ids.push((await client.xadd(ordersKey, '*', 't', 'order.created', 'd', `{"id":${id}}`)) ?? '');
    }
    await client.xgroup('CREATE', ordersKey, 'billing', '0');
    await client.xreadgroup('GROUP', 'billing', 'vanished', 'COUNT', 3, 'STREAMS', ordersKey, '>');
    await age(client, 30_000);
    await client.xdel(ordersKey, ...ids.slice(0, 2));

    const seen: number[] = [];
    const warnings: string[] = [];
    await startApp({
      connection: redis.connection,
      streams: [orders],
      consumers: [consumerClass(({ id }) => seen.push(id))],
      logger: noting(warnings),
    });
    await eventually(async () => {
      expect(seen).toEqual([3]);
      expect(await pending(client)).toEqual([]);
    });
    // Once, whatever else a machine that stands still gives cause to tell.
    expect(warnings.filter((text) => text.includes('trimmed'))).toEqual([
      '2 entries of "orders" were trimmed or deleted before the group "billing" had handled them: nobody will but a handler that has them in hand.',
    ]);
  });

  it('takes over no more than it has free slots for', async () => {
    const client = redis.client();
    for (let id = 0; id < 20; id += 1) await client.xadd(ordersKey, '*', 't', 'order.created', 'd', `{"id":${id}}`);
    await client.xgroup('CREATE', ordersKey, 'billing', '0');
    await client.xreadgroup('GROUP', 'billing', 'vanished', 'COUNT', 20, 'STREAMS', ordersKey, '>');
    await age(client, 30_000);

    const finish: (() => void)[] = [];
    await startApp({
      connection: redis.connection,
      streams: [orders],
      consumers: [consumerClass(() => new Promise<void>((resolve) => finish.push(resolve)), 3)],
    });
    await eventually(() => finish.length === 3);
    // Several sweeps pass while no slot is free.
    await new Promise((resolve) => setTimeout(resolve, 375));
    const rows = await pending(client);
    expect(rows.filter(({ consumer }) => consumer !== 'vanished')).toHaveLength(3);

    let finished = 0;
    await eventually(
      async () => {
        for (const done of finish.splice(0)) {
          done();
          finished += 1;
        }
        expect(finished).toBe(20);
        expect(await pending(client)).toHaveLength(0);
      },
      { within: 30_000 },
    );
  });

  it('takes over no more bytes than it may hold, and about 4 MiB at a time', async () => {
    const client = redis.client();
    const filler = 'x'.repeat(900 * 1024);
    for (let id = 0; id < 12; id += 1) {
      await client.xadd(ordersKey, '*', 't', 'order.created', 'd', JSON.stringify({ id, filler }));
    }
    await client.xgroup('CREATE', ordersKey, 'billing', '0');
    await client.call('xreadgroup', 'GROUP', 'billing', 'vanished', 'COUNT', 12, 'STREAMS', ordersKey, '>');
    await age(client, 30_000);
    const finish = new Map<number, () => void>();
    await startApp({
      connection: redis.connection,
      streams: [orders],
      consumers: [consumerClass(({ id }) => new Promise<void>((resolve) => finish.set(id, resolve)), 100)],
      options: { maxHeldBytes: 6 * 1024 * 1024 },
    });
    const taken = async () => (await pending(client)).filter(({ consumer }) => consumer !== 'vanished').length;
    let most = 0;
    let finished = 0;
    await eventually(
      async () => {
        most = Math.max(most, await taken());
        const first = [...finish][0];
        if (first !== undefined) {
          first[1]();
          finish.delete(first[0]);
          finished += 1;
        }
        expect(finished).toBe(12);
        expect(await pending(client)).toEqual([]);
      },
      { within: 30_000 },
    );
    // Where the limit is passed, the step has been begun below it.
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(9);
  });

  it('keeps the entry of a handler that takes several times minIdle', async () => {
    const runs: string[] = [];
    const slow = (name: string) =>
      consumerClass(async () => {
        runs.push(name);
        await new Promise((resolve) => setTimeout(resolve, 9_000));
      });
    // A renewal every 1.3 s: two may be late, as on a machine that stalls.
    const options = { minIdle: 4_000, claimInterval: 50 };
    const apps = await Promise.all(
      ['a', 'b'].map((name) =>
        startApp({ connection: redis.connection, streams: [orders], consumers: [slow(name)], options }),
      ),
    );
    await apps[0]?.get<Orders>(getStreamToken(orders)).publish('order.created', { id: 1 });
    const client = redis.client();

    await eventually(() => runs.length === 1);
    await eventually(async () => (await pending(client)).length === 0, { within: 30_000 });
    expect(runs).toHaveLength(1);
  }, 60_000);

  it('aborts the signal of an entry that another consumer has taken, and does not dead-letter it', async () => {
    let signal: AbortSignal | undefined;
    let fail: (error: Error) => void = () => undefined;
    const app = await startApp({
      connection: redis.connection,
      streams: [orders],
      consumers: [
        consumerClass((_order, ctx) => {
          signal = ctx.signal;
          return new Promise<void>((_, reject) => (fail = reject));
        }),
      ],
      // It renews often, and takes nothing over: not from the thief either.
      options: { retry: { attempts: 1 }, minIdle: 600, claimInterval: '60s' },
    });
    const { id } = await app.get<Orders>(getStreamToken(orders)).publish('order.created', { id: 1 });
    await eventually(() => signal !== undefined);
    const client = redis.client();
    // Who can't keep what it has takes less for a while.
    const takesLess = jest.spyOn(ReadAhead.prototype, 'suspend');
    await client.call('xclaim', ordersKey, 'billing', 'thief', 0, id);

    await eventually(() => signal?.aborted === true, { within: 10_000 });
    expect(takesLess).toHaveBeenCalled();
    takesLess.mockRestore();
    // Not stolen back by a renewal.
    expect(await pending(client)).toMatchObject([{ id, consumer: 'thief' }]);
    fail(new Error('too late'));
    // Everything is settled when the application has closed.
    await closeApps();
    expect(await client.exists(billingDeadLetters)).toBe(0);
    expect(await pending(client)).toMatchObject([{ id, consumer: 'thief' }]);
  });

  it('leaves an entry alone that was taken a moment ago, before it can know', async () => {
    let fail: ((error: Error) => void) | undefined;
    const failing = consumerClass(() => new Promise<void>((_, reject) => (fail = reject)));
    const app = await startApp({
      connection: redis.connection,
      streams: [orders],
      consumers: [failing],
      options: { retry: { attempts: 1 }, minIdle: '60s' },
    });
    const { id } = await app.get<Orders>(getStreamToken(orders)).publish('order.created', { id: 1 });
    await eventually(() => fail !== undefined);
    const client = redis.client();
    await client.call('xclaim', ordersKey, 'billing', 'thief', 0, id);
    fail?.(new Error('too late'));
    // Everything is settled when the application has closed.
    await closeApps();

    expect(await client.exists(billingDeadLetters)).toBe(0);
    expect(await pending(client)).toMatchObject([{ id, consumer: 'thief' }]);
  });

  it('gives up an entry unseen that was delivered and tried too often', async () => {
    const client = redis.client();
    const id = (await client.xadd(ordersKey, '*', 't', 'order.created', 'd', '{"id":1}')) ?? '';
    await client.xgroup('CREATE', ordersKey, 'billing', '0');
    await client.xreadgroup('GROUP', 'billing', 'crashed', 'STREAMS', ordersKey, '>');
    await client.call(
      'xclaim',
      ordersKey,
      'billing',
      'crashed',
      0,
      id,
      'IDLE',
      30_000,
      'RETRYCOUNT',
      3_000_010,
      'JUSTID',
    );
    let runs = 0;
    await startApp({ connection: redis.connection, streams: [orders], consumers: [consumerClass(() => (runs += 1))] });

    await eventually(async () => {
      expect(await entries(client, billingDeadLetters)).toMatchObject([
        { 'x-reason': 'deliveries', 'x-deliveries': '11' },
      ]);
    });
    expect(runs).toBe(0);
  });
});

describeOn(standalone, cluster)('recovery of the group', (redis) => {
  async function consuming() {
    const seen: number[] = [];
    const app = await startApp({
      connection: redis.connection,
      streams: [orders],
      consumers: [consumerClass(({ id }) => seen.push(id))],
    });
    const producer = app.get<Orders>(getStreamToken(orders));
    await producer.publish('order.created', { id: 1 });
    // Handled, and acknowledged: what is held is not handled beside itself when it is delivered again.
    await eventually(async () => seen.length === 1 && (await pending(redis.client())).length === 0);
    return { seen, producer };
  }

  it('goes on after FLUSHALL', async () => {
    const { seen, producer } = await consuming();
    await redis.flush();
    await producer.publish('order.created', { id: 2 });
    await eventually(() => {
      expect(seen).toEqual([1, 2]);
    });
    await eventually(async () => (await pending(redis.client())).length === 0);
  });

  it('goes on after the stream was deleted, again and again', async () => {
    const { seen, producer } = await consuming();
    for (const id of [2, 3, 4]) {
      await redis.client().del(ordersKey);
      await producer.publish('order.created', { id });
      await eventually(() => {
        expect(seen).toContain(id);
      });
    }
    expect(seen).toEqual([1, 2, 3, 4]);
  });

  it('goes on after the group was destroyed, from the start of the stream', async () => {
    const { seen, producer } = await consuming();
    await redis.client().xgroup('DESTROY', ordersKey, 'billing');
    await producer.publish('order.created', { id: 2 });
    await eventually(() => {
      expect(seen).toEqual([1, 1, 2]);
    });
  });

  it('begins a lost group at the start of the stream also with from: new', async () => {
    const seen: number[] = [];
    @StreamConsumer(orders, { group: 'billing', from: 'new' })
    class Billing {
      @StreamHandler(orders.event('order.created'))
      created({ id }: OrderCreated) {
        seen.push(id);
      }
    }
    const client = redis.client();
    const entry = (id: number) => ['t', 'order.created', 'd', JSON.stringify({ id })];
    await client.xadd(ordersKey, '*', ...entry(1));
    await startApp({ connection: redis.connection, streams: [orders], consumers: [Billing] });
    await client.xadd(ordersKey, '*', ...entry(2));
    await eventually(async () => {
      expect(seen).toEqual([2]);
      expect(await pending(client)).toEqual([]);
    });
    // 3 is there before the group can be.
    await client
      .multi()
      .xgroup('DESTROY', ordersKey, 'billing')
      .xadd(ordersKey, '*', ...entry(3))
      .exec();
    await eventually(() => {
      expect(seen).toEqual([2, 1, 2, 3]);
    });
  });
});

describe('recovery of the connection', () => {
  async function consuming({ url }: { url: string }, options: AppOptions['options'] = {}) {
    const seen: number[] = [];
    const app = await startApp({
      connection: { url },
      streams: [orders],
      consumers: [consumerClass(({ id }) => seen.push(id))],
      options,
    });
    const producer = app.get<Orders>(getStreamToken(orders));
    await producer.publish('order.created', { id: 1 });
    await eventually(() => seen.length === 1);
    return { seen, producer };
  }

  it('goes on when the server comes back empty', async () => {
    await using server = await RedisServer.start();
    await using _apps = closingApps();
    const { seen, producer } = await consuming(server);
    await server.kill();
    await server.restart();
    await eventually(() => producer.publish('order.created', { id: 2 }), { within: 15_000 });
    await eventually(
      () => {
        expect(seen).toContain(2);
      },
      { within: 15_000 },
    );
  });

  it('goes on when the connection of the reader is killed, without a busy loop', async () => {
    await using server = await RedisServer.start();
    await using _apps = closingApps();
    // No read ends by itself.
    const { seen, producer } = await consuming(server, { block: '60s' });
    const admin = server.client();
    await admin.config('RESETSTAT');
    expect(await killReader(server)).toBe(1);
    await producer.publish('order.created', { id: 2 });
    await eventually(() => {
      expect(seen).toEqual([1, 2]);
    });
    const stats = await admin.info('commandstats');
    expect(Number(/cmdstat_xreadgroup:calls=(\d+)/.exec(stats)?.[1])).toBeLessThan(6);
  });

  it('takes up at once what was delivered in a reply that never arrived', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    await using _apps = closingApps();
    // minIdle is out of reach: the reaper can't be what helps.
    const { seen, producer } = await consuming(proxy, { minIdle: '60s', block: '60s' });
    const lost = proxy.dropReply('XREADGROUP', { thenReset: true });
    // The read that is under way brings 2, the reply of the next one is lost.
    await producer.publish('order.created', { id: 2 });
    await eventually(() => seen.length === 2);
    await producer.publish('order.created', { id: 3 });

    await eventually(() => {
      expect(seen).toEqual([1, 2, 3]);
    });
    expect(lost.injected).toBe(1);
    await eventually(async () => (await pending(server.client())).length === 0);
  });

  it('does not count deliveries that never arrived, however many', async () => {
    await using server = await RedisServer.start();
    await using _apps = closingApps();
    const { seen } = await consuming(server, { minIdle: '60s', block: '60s', maxDeliveries: 3 });
    const client = server.client();
    await eventually(async () => (await pending(client)).length === 0);
    const [name = ''] = await consumers(client);
    // As it lies there when the replies to three deliveries to us were lost.
    const id = '9999999999999-1';
    await client
      .multi()
      .xadd(ordersKey, id, 't', 'order.created', 'd', '{"id":2}')
      .xreadgroup('GROUP', 'billing', name, 'STREAMS', ordersKey, '>')
      .call('xclaim', ordersKey, 'billing', name, '0', id, 'RETRYCOUNT', '3', 'JUSTID')
      .exec();
    expect(await pending(client)).toMatchObject([{ consumer: name, deliveries: 3 }]);
    expect(await killReader(server)).toBe(1);
    await eventually(async () => {
      expect(seen).toEqual([1, 2]);
      expect(await pending(client)).toEqual([]);
    });
    expect(await client.exists(billingDeadLetters)).toBe(0);
  });

  it('takes up nothing twice that it holds, or could not settle', async () => {
    await using server = await RedisServer.start();
    await using _apps = closingApps();
    const runs: number[] = [];
    const warnings: string[] = [];
    // What fails can't be scheduled.
    await server.client().set(`${ordersKey}:retry:billing:due`, 'text');
    const app = await startApp({
      connection: { url: server.url },
      streams: [orders],
      consumers: [
        consumerClass(({ id }) => {
          runs.push(id);
          if (id === 1) return never();
          if (id === 2) throw new Error('fails');
          return undefined;
        }),
      ],
      options: { minIdle: '60s', drainTimeout: 0 },
      logger: noting(warnings),
    });
    const producer = app.get<Orders>(getStreamToken(orders));
    for (const id of [1, 2]) await producer.publish('order.created', { id });
    await eventually(() => runs.length === 2 && warnings.some((text) => text.includes('while settling the entry')));
    expect(await killReader(server)).toBe(1);
    await producer.publish('order.created', { id: 3 });
    await eventually(async () => (await pending(server.client())).length === 2 && runs.includes(3));

    expect(runs).toEqual([1, 2, 3]);
    expect(await pending(server.client())).toMatchObject([{ deliveries: 1 }, { deliveries: 1 }]);
  });

  it('acknowledges after an outage what was handled during it, also when that outlasts a command', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    await using _apps = closingApps();
    const runs: number[] = [];
    const warnings: string[] = [];
    let finish: () => void = () => undefined;
    const app = await startApp({
      logger: noting(warnings),
      connection: { url: proxy.url },
      streams: [orders],
      consumers: [
        consumerClass(({ id }) => {
          runs.push(id);
          return new Promise<void>((resolve) => (finish = resolve));
        }),
      ],
      // It stays its own for as long as any machine takes for this.
      options: { minIdle: '5m', claimInterval: 50 },
    });
    await app.get<Orders>(getStreamToken(orders)).publish('order.created', { id: 1 });
    await eventually(() => runs.length === 1);

    const outage = proxy.refuse();
    finish();
    // The first attempt has used up its budget.
    await eventually(() => warnings.some((text) => text.includes('while acknowledging entries')), { within: 15_000 });
    expect(await pending(server.client())).toHaveLength(1);
    outage.stop();

    await eventually(async () => (await pending(server.client())).length === 0, { within: 15_000 });
    expect(outage.injected).toBeGreaterThan(0);
    expect(runs).toEqual([1]);
  }, 60_000);
});
