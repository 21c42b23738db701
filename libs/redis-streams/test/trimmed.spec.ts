import { once } from 'node:events';
import { jest } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import {
  getRedisConnectionToken,
  RedisUnavailableError,
  systemClock,
  type RedisConnection,
} from '@redstart/redis-core';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import { commitScript } from '../src/scripts/commit.js';
import {
  defineStream,
  EntryLostError,
  event,
  getStreamToken,
  RedisStreams,
  StreamConsumer,
  StreamHandler,
  type StreamConsumerOptions,
  type StreamContext,
  type StreamHandlerOptions,
  type StreamProducer,
} from '../src/index.js';
import { orders, type OrderCreated } from './support/orders.js';
import { age, billingDeadLetters, entries, ordersKey, pending, settled } from './support/read-redis.js';
import { closeApp, closeApps, startApp, type AppOptions } from './support/start-app.js';

afterEach(closeApps);

const retryKey = `${ordersKey}:retry:billing`;
const patience = { within: 20_000 };
/** Of an entry that is added last. */
const waitingId = '9999999999999-0';

describeOn(standalone, cluster)('an entry that is trimmed while it is in hand', (redis) => {
  type Behaviour = (order: OrderCreated, ctx: StreamContext) => unknown;

  function start(
    behaviour: Behaviour,
    retry: StreamHandlerOptions['retry'] = { backoff: 1 },
    { options, ...consumer }: Omit<StreamConsumerOptions, 'group'> & Pick<AppOptions, 'options'> = {},
  ): Promise<TestingModule> {
    @StreamConsumer(orders, { group: 'billing', ...consumer })
    class Billing {
      @StreamHandler(orders.event('order.created'), { retry })
      created(order: OrderCreated, ctx: StreamContext): unknown {
        return behaviour(order, ctx);
      }
    }
    const { connection } = redis;
    // Nobody sweeps but the test.
    return startApp({
      connection,
      streams: [orders],
      consumers: [Billing],
      options: { claimInterval: '60s', ...options },
    });
  }
  const publish = (app: TestingModule, id = 1) =>
    app.get<StreamProducer<typeof orders>>(getStreamToken(orders)).publish('order.created', { id });

  /** Trims an entry, and sweeps as any consumer of the group might: what is pending is forgotten then, although its consumer has renewed it a moment ago. */
  async function trim(id: string): Promise<void> {
    const client = redis.client();
    await client.xdel(ordersKey, id);
    const [, , gone] = await client.xautoclaim(ordersKey, 'billing', 'other', 3_600_000, '0-0');
    expect(gone).toEqual([id]);
    expect((await pending(client)).map((row) => row.id)).not.toContain(id);
  }

  it('is retried, with its attempts counted', async () => {
    const runs: unknown[] = [];
    const app = await start(async (order, { id, attempt, messageId }) => {
      runs.push({ ...order, attempt, messageId });
      if (attempt > 1) return;
      await trim(id);
      throw new Error('not yet');
    });
    const { id } = await publish(app, 7);
    await eventually(() => runs.length === 2, patience);
    expect(runs).toEqual([1, 2].map((attempt) => ({ id: 7, attempt, messageId: id })));
    await settled(redis.client());
  });

  it('is dead-lettered', async () => {
    const app = await start(
      async (_order, { id }) => {
        await trim(id);
        throw new Error('never');
      },
      { attempts: 1 },
    );
    const { id } = await publish(app, 7);
    const client = redis.client();
    await eventually(async () => (await client.xlen(billingDeadLetters)) === 1, patience);
    expect(await entries(client, billingDeadLetters)).toMatchObject([
      { d: '{"id":7}', 'x-id': id, 'x-reason': 'attempts', 'x-message': 'never' },
    ]);
    await settled(client);
  });

  it('is committed', async () => {
    let ended = false;
    const app = await start(async (_order, { id, commit }) => {
      await trim(id);
      await commit((multi) => multi.incr('count{orders}'));
      ended = true;
    });
    await publish(app);
    await eventually(() => ended, patience);
    expect(await redis.client().get('count{orders}')).toBe('1');
    expect(await redis.client().exists(`${retryKey}:due`, billingDeadLetters)).toBe(0);
  });

  it('is not told as lost by its own process, which has it in hand', async () => {
    const warnings: string[] = [];
    const log = () => undefined;
    let swept = false;
    const app = await start(
      async (_order, { id }) => {
        await redis.client().xdel(ordersKey, id);
        await eventually(async () => !(await isPending(id)), patience);
        swept = true;
      },
      {},
      { options: { claimInterval: 50 } },
    );
    app.useLogger({ log, error: log, warn: (message: unknown) => warnings.push(String(message)) });
    await publish(app);
    await eventually(() => swept, patience);
    await closeApp(app);
    expect(warnings.join()).not.toContain('trimmed');
  });

  it('stays in hand when a renewal finds it gone, and is retried', async () => {
    const attempts: number[] = [];
    let aborted: boolean | undefined;
    let fail: (() => void) | undefined;
    const app = await start(
      async (_order, ctx) => {
        attempts.push(ctx.attempt);
        if (ctx.attempt > 1) return;
        const { signal } = ctx;
        await new Promise<void>((resolve) => (fail = resolve));
        aborted = signal.aborted;
        throw new Error('not yet');
      },
      { backoff: 1 },
      { options: { minIdle: '4s' } },
    );
    const renewals = countOf(app, 'streams.renew');
    const { id } = await publish(app);
    await eventually(() => fail !== undefined, patience);
    await trim(id);
    const before = renewals();
    await eventually(() => renewals() > before, patience);
    // Longer than anybody could hold it without a renewal.
    const since = systemClock.now();
    await eventually(() => systemClock.now() - since > 4_000, patience);
    fail?.();
    await eventually(() => attempts.length === 2, patience);
    expect({ aborted, attempts }).toEqual({ aborted: false, attempts: [1, 2] });
  });

  it('comes again when its process stops while its handler runs, without an attempt being counted', async () => {
    let id: string | undefined;
    const app = await start(
      async (_order, ctx) => {
        const { signal } = ctx;
        await trim(ctx.id);
        id = ctx.id;
        await once(signal, 'abort');
        throw new Error('interrupted');
      },
      { backoff: 1 },
      { options: { drainTimeout: 200 } },
    );
    await publish(app, 1);
    await eventually(() => id !== undefined, patience);
    await closeApp(app);
    const seen: unknown[] = [];
    await start((order, { attempt, messageId }) => seen.push({ ...order, attempt, messageId }));
    await eventually(() => seen.length === 1, patience);
    expect(seen).toEqual([{ id: 1, attempt: 1, messageId: id }]);
    await settled(redis.client());
  });

  it('comes again when it has not begun and is given back', async () => {
    const seen: number[] = [];
    let go: (() => void) | undefined;
    const app = await start(
      async ({ id }) => {
        seen.push(id);
        if (id === 1) await new Promise<void>((resolve) => (go = resolve));
      },
      { backoff: 1 },
      { concurrency: 1, options: { minIdle: '6s' } },
    );
    const found = trimBefore(app, ['streams.release']);
    await publish(app, 1);
    await eventually(() => go !== undefined, patience);
    await redis.client().xadd(ordersKey, waitingId, 't', 'order.created', 'd', '{"id":2}');
    await found;
    await eventually(async () => (await redis.client().xlen(retryKey)) === 1, patience);
    go?.();
    await eventually(() => seen.length === 2, patience);
    expect(seen).toEqual([1, 2]);
    await settled(redis.client());
  });

  it('comes again when it has not begun and its process stops', async () => {
    let begun = false;
    const app = await start(
      async () => {
        begun = true;
        await new Promise<void>(() => undefined);
      },
      { backoff: 1 },
      { concurrency: 1, options: { minIdle: '6s', drainTimeout: 200 } },
    );
    // It is renewed; on a slow machine it has waited for a whole period by then, and is given back.
    const found = trimBefore(app, ['streams.renew', 'streams.release']);
    await publish(app, 1);
    await eventually(() => begun, patience);
    await redis.client().xadd(ordersKey, waitingId, 't', 'order.created', 'd', '{"id":2}');
    await found;
    await closeApp(app);
    const seen: number[] = [];
    await start(({ id }) => seen.push(id));
    await eventually(() => seen.includes(2), patience);
  });

  it('is not retried by a process that stood still while another one may have handled it', async () => {
    const client = redis.client();
    let fail: (() => void) | undefined;
    let ended = false;
    const app = await start(
      async () => {
        await new Promise<void>((resolve) => (fail = resolve));
        ended = true;
        throw new Error('too late');
      },
      { backoff: 1 },
      { options: { minIdle: '1s' } },
    );
    const connection = app.get<RedisConnection>(getRedisConnectionToken());
    const send = connection.call.bind(connection);
    let wake: () => void = () => undefined;
    const awake = new Promise<void>((resolve) => (wake = resolve));
    let held = 0;
    jest.spyOn(connection, 'call').mockImplementation(async (call, ...rest) => {
      if (call.operation === 'streams.renew') {
        held += 1;
        await awake;
      }
      return send(call, ...rest);
    });
    const { id } = await publish(app);
    await eventually(() => fail !== undefined && held > 0, patience);
    const since = systemClock.now();
    await eventually(() => systemClock.now() - since > 1_000, patience);
    await client.call('xclaim', ordersKey, 'billing', 'other', 0, id);
    await client.xack(ordersKey, 'billing', id);
    await client.xdel(ordersKey, id);
    fail?.();
    await eventually(() => ended, patience);
    wake();
    await closeApp(app);
    expect(await client.exists(`${retryKey}:due`)).toBe(0);
    expect(await client.xlen(retryKey)).toBe(0);
  });

  it('is not ours when the answer that brought it came so late that another one may have handled it', async () => {
    const client = redis.client();
    const id = (await client.xadd(ordersKey, '*', 't', 'order.created', 'd', '{"id":1}')) ?? '';
    await client.xgroup('CREATE', ordersKey, 'billing', '0');
    await client.xreadgroup('GROUP', 'billing', 'vanished', 'STREAMS', ordersKey, '>');
    await age(client, 30_000);
    let outcome: unknown;
    const app = await start(
      async (_order, { commit }) => {
        outcome = await commit((multi) => multi.incr('count{orders}')).catch((error: unknown) => error);
        throw new Error('too late');
      },
      { backoff: 1 },
      { options: { minIdle: '1s', claimInterval: 500 } },
    );
    const connection = app.get<RedisConnection>(getRedisConnectionToken());
    const send = connection.call.bind(connection);
    jest.spyOn(connection, 'call').mockImplementation(async (call, ...rest) => {
      const reply = await send(call, ...rest);
      if (call.operation !== 'streams.claim' || !(await isPending(id))) return reply;
      const since = systemClock.now();
      await eventually(() => systemClock.now() - since > 1_000, patience);
      await client.call('xclaim', ordersKey, 'billing', 'other', 0, id);
      await client.xack(ordersKey, 'billing', id);
      await client.xdel(ordersKey, id);
      return reply;
    });
    await eventually(() => outcome !== undefined, patience);
    await closeApp(app);
    expect(outcome).toBeInstanceOf(EntryLostError);
    expect(await client.exists('count{orders}', `${retryKey}:due`, `${retryKey}:delayed`)).toBe(0);
    expect(await client.xlen(retryKey)).toBe(0);
  });

  it('is not ours when another one owns its partition by now, and may have handled it', async () => {
    const shipments = defineStream('shipments', { events: { moved: event<number>() }, partitions: 1 });
    const key = 'shop:stream:{shipments/0}';
    const begin = (handle: (ctx: StreamContext) => unknown) => {
      @StreamConsumer(shipments, { group: 'billing' })
      class Billing {
        @StreamHandler(shipments.event('moved'))
        moved(_by: number, ctx: StreamContext): unknown {
          return handle(ctx);
        }
      }
      const options = { minIdle: '2s', block: 100, drainTimeout: 0 } as const;
      return startApp({ connection: redis.connection, streams: [shipments], consumers: [Billing], options });
    };
    let go: (() => void) | undefined;
    let outcome: unknown;
    const slow = await begin(async ({ commit, hashTag }) => {
      await new Promise<void>((resolve) => (go = resolve));
      outcome = await commit((multi) => multi.incr(`count${hashTag}`)).catch((error: unknown) => error);
    });
    await slow.get<StreamProducer<typeof shipments>>(getStreamToken(shipments)).publish('moved', 1, { key: 'a' });
    await eventually(() => go !== undefined, patience);
    const connection = slow.get<RedisConnection>(getRedisConnectionToken());
    const send = connection.call.bind(connection);
    jest.spyOn(connection, 'call').mockImplementation((call, ...rest) => {
      if (call.operation !== 'streams.partitions') return send(call, ...rest);
      return Promise.reject(new RedisUnavailableError('no answer', 'unknown'));
    });
    let handled = false;
    await begin(() => (handled = true));
    const client = redis.client();
    await eventually(async () => handled && (await pending(client, 'billing', key)).length === 0, patience);
    await client.xtrim(key, 'MAXLEN', 0);
    go?.();
    await eventually(() => outcome !== undefined, patience);
    expect(outcome).toBeInstanceOf(EntryLostError);
    expect(await client.exists('count{shipments/0}')).toBe(0);
  });

  it('is committed once, also where its consumer is wrong about it', async () => {
    const app = await start(() => undefined, {}, { options: { consumers: false } });
    const { scripts } = app.get(RedisStreams).connection;
    const client = redis.client();
    const call = { library: 'redis-streams', operation: 'test', budgetMs: 10_000 };
    await client.xgroup('CREATE', ordersKey, 'billing', '0', 'MKSTREAM');
    const commit = (token: string, trimmed: 0 | 1) =>
      scripts.run(
        call,
        commitScript,
        [ordersKey, 'inbox{orders}', 'count{orders}'],
        ['billing', 'own', '1-1', token, 60_000, 0, trimmed, 2, 'incr', 'count{orders}'],
      );
    expect(await commit('one', 0)).toBe('gone');
    expect(await commit('one', 1)).toBe('committed');
    expect(await commit('one', 1)).toBe('committed');
    expect(await commit('two', 1)).toBe('theirs');
    expect(await client.get('count{orders}')).toBe('1');
  });

  it('is not retried twice when it was scheduled by a call whose reply was lost, and trimmed since it was done', async () => {
    const client = redis.client();
    const attempts: number[] = [];
    let lost: string | undefined;
    let renewals = 0;
    let trim: () => void = () => undefined;
    const trimmed = new Promise<void>((resolve) => (trim = resolve));
    const app = await start(
      (_order, { attempt }) => {
        attempts.push(attempt);
        if (attempt === 1) throw new Error('not yet');
      },
      { backoff: 1 },
      { options: { minIdle: '1s' } },
    );
    const connection = app.get<RedisConnection>(getRedisConnectionToken());
    const send = connection.call.bind(connection);
    let calls = 0;
    jest.spyOn(connection, 'call').mockImplementation(async (call, ...rest) => {
      // A renewal finds the entry as it was before, or gone.
      if (call.operation === 'streams.renew') {
        if (calls > 0) await trimmed;
        renewals += 1;
        return send(call, ...rest);
      }
      if (call.operation !== 'streams.retry') return send(call, ...rest);
      calls += 1;
      const reply = await send(call, ...rest);
      if (calls > 1) return reply;
      await client.xtrim(ordersKey, 'MAXLEN', 0);
      trim();
      // What has been scheduled has long come again when the call is repeated.
      await eventually(() => attempts.length === 2, patience);
      const before = renewals;
      await eventually(() => renewals > before + 1, patience);
      lost = 'lost';
      throw new RedisUnavailableError('no answer', 'unknown');
    });
    await publish(app);
    await eventually(() => lost !== undefined && calls === 2, patience);
    await settled(client);
    await closeApp(app);
    expect(attempts).toEqual([1, 2]);
    expect(await client.exists(`${retryKey}:due`, billingDeadLetters)).toBe(0);
    expect(await client.xlen(retryKey)).toBe(0);
  });

  /** Trims the entry that waits just before the first call of some kinds while it is pending. Resolves when that has been answered. */
  function trimBefore(app: TestingModule, operations: readonly string[]): Promise<void> {
    const connection = app.get<RedisConnection>(getRedisConnectionToken());
    const send = connection.call.bind(connection);
    let trimmed = false;
    return new Promise((resolve) => {
      jest.spyOn(connection, 'call').mockImplementation(async (call, ...rest) => {
        if (trimmed || !operations.includes(call.operation) || !(await isPending(waitingId)))
          return send(call, ...rest);
        trimmed = true;
        await trim(waitingId);
        const reply = await send(call, ...rest);
        resolve();
        return reply;
      });
    });
  }

  async function isPending(id: string): Promise<boolean> {
    return (await pending(redis.client())).some((row) => row.id === id);
  }

  /** Counts the answers to calls of one kind. */
  function countOf(app: TestingModule, operation: string): () => number {
    const connection = app.get<RedisConnection>(getRedisConnectionToken());
    const send = connection.call.bind(connection);
    let answered = 0;
    jest.spyOn(connection, 'call').mockImplementation(async (call, ...rest) => {
      const reply = await send(call, ...rest);
      if (call.operation === operation) answered += 1;
      return reply;
    });
    return () => answered;
  }
});
