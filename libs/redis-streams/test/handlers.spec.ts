import type { StandardSchemaV1 } from '@standard-schema/spec';
import { ManualClock } from '@redstart/redis-core';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import { Deadlines } from '../src/consumer/deadlines.js';
import {
  DefaultStreamHandler,
  defineStream,
  getStreamToken,
  HandlerTimeoutError,
  StreamBatchHandler,
  StreamConsumer,
  StreamHandler,
  type BatchContext,
  type BatchResult,
  type StreamContext,
  type StreamMessage,
  type StreamProducer,
} from '../src/index.js';
import { orders, type OrderCreated } from './support/orders.js';
import { age, billingDeadLetters, entries, ordersKey, pending, settled } from './support/read-redis.js';
import { closeApp, closeApps, compileApp, startApp, type AppOptions } from './support/start-app.js';

afterEach(closeApps);

const retryKey = `${ordersKey}:retry:billing`;
const never = () => new Promise<void>(() => undefined);

describeOn(standalone, cluster)('handlers', (redis) => {
  async function start(consumer: NonNullable<AppOptions['consumers']>[number], options: AppOptions['options'] = {}) {
    const app = await startApp({
      connection: redis.connection,
      streams: [orders],
      consumers: [consumer],
      options: { drainTimeout: 0, ...options },
    });
    return app.get<StreamProducer<typeof orders>>(getStreamToken(orders));
  }

  it('takes the event itself before a pattern, the longer pattern before the shorter, and the default last', async () => {
    const client = redis.client();
    const seen: string[] = [];
    @StreamConsumer(orders, { group: 'billing', concurrency: 1 })
    class Billing {
      @DefaultStreamHandler()
      rest(_payload: unknown, { type }: StreamContext) {
        seen.push(`default ${type}`);
      }
      @StreamHandler('order.*')
      any(_payload: unknown, { type }: StreamContext) {
        seen.push(`order.* ${type}`);
      }
      @StreamHandler('order.c*')
      c(_payload: OrderCreated, { type }: StreamContext) {
        seen.push(`order.c* ${type}`);
      }
      @StreamHandler(orders.event('order.created'))
      created({ id }: OrderCreated) {
        seen.push(`created ${id}`);
      }
    }
    const producer = await start(Billing);
    await producer.publish('order.created', { id: 1 });
    await producer.publish('order.cancelled', { id: 2 });
    await producer.publish('order.paid', { id: '3' });
    await client.xadd(ordersKey, '*', 't', 'stock.moved', 'd', '{}');
    await client.xadd(ordersKey, '*', 't', 'order.lost', 'd', '{}');
    await eventually(() => {
      expect(seen).toEqual([
        'created 1',
        'order.c* order.cancelled',
        'order.* order.paid',
        'default stock.moved',
        'order.* order.lost',
      ]);
    });
    await settled(client);
  });

  it('hands over batches, and settles each message of one as its handler said', async () => {
    const client = redis.client();
    const batches: { ids: number[]; attempts: number[] }[] = [];
    @StreamConsumer(orders, { group: 'billing', concurrency: 2 })
    class Billing {
      @StreamBatchHandler(orders.event('order.created'), {
        size: 4,
        maxWait: '60s',
        retry: { attempts: 2, backoff: 1 },
      })
      created(messages: readonly StreamMessage<OrderCreated>[], ctx: BatchContext): BatchResult {
        expect(ctx).toMatchObject({ stream: 'orders', group: 'billing' });
        batches.push({
          ids: messages.map(({ payload }) => payload.id),
          attempts: messages.map((message) => message.ctx.attempt),
        });
        for (const { payload, ctx: own } of messages) if (payload.id === 3) own.deadLetter('no such customer');
        return {
          failed: messages
            .filter(({ payload }) => payload.id === 2)
            .map((message) => ({ message, error: new RangeError('refused') })),
        };
      }
    }
    const producer = await start(Billing);
    await producer.publishBatch([1, 2, 3, 4].map((id) => ({ type: 'order.created' as const, payload: { id } })));
    await eventually(() => batches.length === 1);
    expect(batches[0]).toEqual({ ids: [1, 2, 3, 4], attempts: [1, 1, 1, 1] });
    // The one that failed comes again, with others; it fails for the last time then.
    await producer.publishBatch([5, 6, 7].map((id) => ({ type: 'order.created' as const, payload: { id } })));
    await eventually(() => batches.length === 2);
    expect(batches[1]?.ids.toSorted((a, b) => a - b)).toEqual([2, 5, 6, 7]);
    await settled(client);
    const letters = await entries(client, billingDeadLetters);
    expect(letters.map((letter) => [letter['d'], letter['x-reason'], letter['x-attempts']]).toSorted()).toEqual([
      ['{"id":2}', 'attempts', '2'],
      ['{"id":3}', 'unrecoverable', '1'],
    ]);
  });

  it('lets a batch handler take its messages out one by one', async () => {
    const batches: number[][] = [];
    @StreamConsumer(orders, { group: 'billing', concurrency: 1 })
    class Billing {
      @StreamBatchHandler(orders.event('order.created'), { size: 3, maxWait: '60s', retry: { backoff: 1 } })
      created(messages: StreamMessage<OrderCreated>[]): BatchResult {
        batches.push(messages.map(({ payload }) => payload.id));
        const failed = batches.length === 1 ? messages.splice(1, 1) : [];
        messages.length = 0;
        return { failed: failed.map((message) => ({ message, error: new RangeError('refused') })) };
      }
    }
    const producer = await start(Billing);
    const publish = (ids: number[]) =>
      producer.publishBatch(ids.map((id) => ({ type: 'order.created' as const, payload: { id } })));
    await publish([1, 2, 3]);
    await eventually(() => batches.length === 1);
    // The one that failed comes again, with others.
    await publish([4, 5]);
    await eventually(() => batches.length === 2);
    expect(batches.map((batch) => batch.toSorted((x, y) => x - y))).toEqual([
      [1, 2, 3],
      [2, 4, 5],
    ]);
  });

  it.each([
    ['no list', () => 'all'],
    ['with nothing in it', () => [null]],
    ['of messages instead of failures', (messages: readonly StreamMessage[]) => messages],
    ['with a message of another batch', () => [{ message: { payload: {} }, error: new Error('refused') }]],
  ])(
    'takes a whole batch for failed when what failed is a list %s',
    async (_, failedOf: (messages: readonly StreamMessage[]) => unknown) => {
      const client = redis.client();
      const attempts: number[][] = [];
      @StreamConsumer(orders, { group: 'billing', concurrency: 1 })
      class Billing {
        @StreamBatchHandler(orders.event('order.created'), {
          size: 2,
          maxWait: '60s',
          retry: { attempts: 2, backoff: 1 },
        })
        created(messages: readonly StreamMessage<OrderCreated>[]): BatchResult | undefined {
          attempts.push(messages.map(({ ctx }) => ctx.attempt));
          return attempts.length === 1 ? { failed: failedOf(messages) as never } : undefined;
        }
      }
      for (const id of [1, 2]) await client.xadd(ordersKey, '*', 't', 'order.created', 'd', JSON.stringify({ id }));
      await start(Billing);
      await eventually(() => attempts.length === 2);
      expect(attempts).toEqual([
        [1, 1],
        [2, 2],
      ]);
      await settled(client);
      expect(await client.exists(billingDeadLetters)).toBe(0);
    },
  );

  it('lets a batch that does not fill up leave after maxWait, and all of one fail together when its handler throws', async () => {
    const client = redis.client();
    const batches: number[][] = [];
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @StreamBatchHandler('order.*', { size: 100, maxWait: 100, retry: { backoff: 1 } })
      all(messages: readonly StreamMessage<OrderCreated>[]) {
        batches.push(messages.map(({ payload }) => payload.id));
        if (batches.length === 1) throw new Error('the database is down');
      }
    }
    // Both are there before anybody reads, so one read brings them: between two reads the batch of the first might leave.
    const payloads = [1, 2].map((id) => JSON.stringify({ id }));
    for (const payload of payloads) await client.xadd(ordersKey, '*', 't', 'order.created', 'd', payload);
    await start(Billing);
    await eventually(() => {
      expect(batches.flat().length).toBeGreaterThanOrEqual(4);
    });
    expect(batches[0]).toEqual([1, 2]);
    await settled(client);
    expect(batches.slice(1).flat().toSorted()).toEqual([1, 2]);
    expect(await client.exists(billingDeadLetters)).toBe(0);
  });

  it('ends the wait for a schema at the timeout of the handler, too', async () => {
    const client = redis.client();
    const seen: unknown[] = [];
    const asking: StandardSchemaV1<{ id: number }> = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: (value) =>
          (value as { id: number }).id === 1 ? new Promise(() => undefined) : { value: value as { id: number } },
      },
    };
    const asked = defineStream('asked', { events: { 'order.asked': asking } });
    @StreamConsumer(asked, { group: 'billing', concurrency: 1 })
    class Billing {
      @StreamHandler(asked.event('order.asked'), { timeout: 50, retry: { attempts: 2, backoff: 1 } })
      created(order: unknown) {
        seen.push(order);
      }
    }
    for (const id of [1, 2]) {
      await client.xadd('shop:stream:{asked}', '*', 't', 'order.asked', 'd', JSON.stringify({ id }));
    }
    await startApp({ connection: redis.connection, streams: [asked], consumers: [Billing] });
    await eventually(async () => {
      expect(await entries(client, 'shop:stream:{asked}:dlq:billing')).toMatchObject([
        { d: '{"id":1}', 'x-reason': 'attempts', 'x-error': 'HandlerTimeoutError' },
      ]);
      expect(seen).toEqual([{ id: 2 }]);
    });
  });

  it('tells the log of many failures of one kind together', async () => {
    const client = redis.client();
    const warnings: string[] = [];
    const none = () => undefined;
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @StreamHandler(orders.event('order.created'), { retry: { attempts: 1 } })
      created({ id }: OrderCreated) {
        throw new RangeError(`order ${id} is bad`);
      }
    }
    for (let id = 0; id < 20; id += 1) {
      await client.xadd(ordersKey, '*', 't', 'order.created', 'd', JSON.stringify({ id }));
      await client.xadd(ordersKey, '*', 't', `foreign.${id}`, 'd', '{}');
      await client.xadd(ordersKey, '*', 't', 'order.created', 'd', `${id}{`);
    }
    const app = await startApp({
      connection: redis.connection,
      streams: [orders],
      consumers: [Billing],
      logger: { log: none, error: none, warn: (message: unknown) => warnings.push(String(message)) },
    });
    await eventually(async () => (await client.xlen(billingDeadLetters)) === 60);
    await closeApp(app);
    expect(warnings.filter((text) => text.includes('is bad'))).toHaveLength(1);
    expect(warnings.filter((text) => /foreign\.\d/.test(text))).toHaveLength(1);
    expect(warnings.filter((text) => text.includes("can't be read"))).toHaveLength(1);
  });

  it('ends the wait for a handler at its timeout: the signal aborts, the slot is free, and the message comes again', async () => {
    const client = redis.client();
    const runs: number[] = [];
    const reasons: unknown[] = [];
    const others: number[] = [];
    @StreamConsumer(orders, { group: 'billing', concurrency: 1 })
    class Billing {
      @StreamHandler(orders.event('order.created'), { timeout: 100, retry: { attempts: 2, backoff: 1 } })
      created(_order: OrderCreated, { attempt, signal }: StreamContext) {
        runs.push(attempt);
        signal.addEventListener('abort', () => reasons.push(signal.reason));
        return never();
      }
      @StreamHandler(orders.event('order.cancelled'))
      cancelled({ id }: OrderCreated) {
        others.push(id);
      }
    }
    const producer = await start(Billing);
    await producer.publish('order.created', { id: 1 });
    await producer.publish('order.cancelled', { id: 2 });
    await eventually(async () => {
      expect(await entries(client, billingDeadLetters)).toMatchObject([
        { 'x-reason': 'attempts', 'x-attempts': '2', 'x-error': 'HandlerTimeoutError' },
      ]);
      // On a slow machine it is published after that.
      expect(others).toEqual([2]);
    });
    expect(runs).toEqual([1, 2]);
    expect(reasons).toHaveLength(2);
    for (const reason of reasons) expect(reason).toBeInstanceOf(HandlerTimeoutError);
    await settled(client);
  });

  it.each([1, 5])(
    'does not let a handler that blocked the loop for 40 s undo what others did meanwhile (attempts: %s)',
    async (attempts) => {
      const client = redis.client();
      let unblock: () => void = () => undefined;
      let begun = 0;
      @StreamConsumer(orders, { group: 'billing' })
      class Blocking {
        @StreamHandler(orders.event('order.created'), { retry: { attempts } })
        created() {
          begun += 1;
          return new Promise<void>((_, reject) => {
            unblock = () => {
              reject(new Error('it took too long'));
            };
          });
        }
      }
      // It takes nothing over and renews nothing, as a process that stands still.
      const blocked = await startApp({
        connection: redis.connection,
        streams: [orders],
        consumers: [Blocking],
        options: { claimInterval: '60s', minIdle: '10m' },
      });
      const producer = blocked.get<StreamProducer<typeof orders>>(getStreamToken(orders));
      const { id } = await producer.publish('order.created', { id: 1 });
      await eventually(() => begun === 1);
      // What the server sees of a loop that is blocked for 40 s: an entry that nobody has renewed for so long.
      await age(client, 40_000);
      const seen: unknown[] = [];
      let finish: () => void = () => undefined;
      @StreamConsumer(orders, { group: 'billing' })
      class Other {
        @StreamHandler(orders.event('order.created'))
        created({ id: order }: OrderCreated, { attempt, deliveries }: StreamContext) {
          seen.push({ order, attempt, deliveries });
          return new Promise<void>((resolve) => (finish = resolve));
        }
      }
      await start(Other);
      await eventually(() => seen.length === 1);
      expect(seen).toEqual([{ order: 1, attempt: 1, deliveries: 2 }]);
      // The loop goes on, and the handler fails: for the last time that it may, or to be tried again.
      unblock();
      // When it has closed, everything that it had to say has been said.
      await closeApp(blocked);
      expect(await pending(client)).toMatchObject([{ id, deliveries: 2 }]);
      expect(await client.exists(billingDeadLetters, `${retryKey}:due`)).toBe(0);
      finish();
      await settled(client);
      expect(await client.exists(billingDeadLetters)).toBe(0);
    },
  );

  it('begins a new group at an id or a moment, that entry included', async () => {
    const client = redis.client();
    const add = (ms: number) =>
      client.xadd(ordersKey, `${ms}-5`, 't', 'order.created', 'd', JSON.stringify({ id: ms }));
    for (const ms of [1_000, 2_000, 3_000]) await add(ms);
    const seen: Record<string, number[]> = { id: [], after: [], date: [] };
    const group = (name: string, from: `${number}-${number}` | Date) => {
      @StreamConsumer(orders, { group: name, from })
      class Billing {
        @StreamHandler(orders.event('order.created'))
        created({ id }: OrderCreated) {
          seen[name]?.push(id);
        }
      }
      return Billing;
    };
    await start(group('id', '2000-5'));
    await start(group('after', '2000-6'));
    await start(group('date', new Date(2_000)));
    await eventually(() => {
      expect(seen).toEqual({ id: [2_000, 3_000], after: [3_000], date: [2_000, 3_000] });
    });
  });
});

describeOn(standalone)('two handlers of one type are a boot error', (redis) => {
  const boot = async (consumer: NonNullable<AppOptions['consumers']>[number]) => {
    const app = await compileApp({
      connection: { client: redis.client() },
      streams: [orders],
      consumers: [consumer],
    });
    await app.init();
  };

  it('also of patterns, and of a pattern that nothing matches', async () => {
    @StreamConsumer(orders, { group: 'billing' })
    class Twice {
      @StreamHandler('order.*')
      a() {
        return undefined;
      }
      @StreamBatchHandler('order.*', { size: 10 })
      b() {
        return undefined;
      }
    }
    @StreamConsumer(orders, { group: 'billing' })
    class Tie {
      @StreamHandler('order.c*')
      a() {
        return undefined;
      }
      @StreamHandler('*created')
      b() {
        return undefined;
      }
    }
    @StreamConsumer(orders, { group: 'billing' })
    class Misspelt {
      @StreamHandler('orders.*')
      a() {
        return undefined;
      }
    }
    @StreamConsumer(orders, { group: 'billing' })
    class TwoDefaults {
      @DefaultStreamHandler()
      a() {
        return undefined;
      }
      @DefaultStreamHandler()
      b() {
        return undefined;
      }
    }
    await expect(boot(Twice)).rejects.toThrow('Twice.b: handles "order.*", as Twice.a does.');
    await expect(boot(TwoDefaults)).rejects.toThrow('TwoDefaults.b');
    await expect(boot(Tie)).rejects.toThrow();
    await expect(boot(Misspelt)).rejects.toThrow('has no such event. Known events: order.created');
    expect(() => StreamBatchHandler('order.*', { size: 0 })).toThrow('@StreamBatchHandler(order.*).size');
    expect(() => StreamHandler('order.*', { timeout: 'soon' as never })).toThrow('@StreamHandler(order.*).timeout');
    expect(() => StreamConsumer(orders, { group: 'g', from: 'yesterday' as never })).toThrow(
      '@StreamConsumer(orders).from',
    );
  });
});

describe('deadlines', () => {
  it('are watched by one timer, and by none when there is nothing to watch', () => {
    const clock = new ManualClock();
    const deadlines = new Deadlines(clock);
    const expired: string[] = [];
    deadlines.watch(1_000, () => expired.push('a'));
    const cancel = deadlines.watch(1_000, () => expired.push('b'));
    deadlines.watch(100_000, () => expired.push('c'));
    expect(clock.pending).toBe(1);
    clock.advance(999);
    cancel();
    expect(expired).toEqual([]);
    clock.advance(51);
    expect(expired).toEqual(['a']);
    clock.advance(100_000);
    expect(expired).toEqual(['a', 'c']);
    expect(clock.pending).toBe(0);
  });
});
