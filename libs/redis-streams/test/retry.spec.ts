import { cluster, describeOn, eventually, FaultProxy, RedisServer, standalone } from '@redstart/redis-testing';
import {
  exponential,
  getStreamToken,
  OnDeadLetter,
  RetryAfterError,
  StreamConsumer,
  StreamHandler,
  UnrecoverableError,
  type DeadLetter,
  type StreamContext,
  type StreamHandlerOptions,
  type StreamProducer,
} from '../src/index.js';
import { orders, type OrderCreated } from './support/orders.js';
import { age, billingDeadLetters, entries, ordersKey, pending } from './support/read-redis.js';
import { closeApp, closeApps, closingApps, startApp, type AppOptions } from './support/start-app.js';

afterEach(closeApps);

const retryKey = `${ordersKey}:retry:billing`;

type Behaviour = (order: OrderCreated, ctx: StreamContext) => unknown;

/** JavaScript allows to reject with anything. */
function rejectingWith(reason: unknown): Promise<never> {
  return new Promise((_, reject: (reason: unknown) => void) => {
    reject(reason);
  });
}

function consumerClass(behaviour: Behaviour, options: StreamHandlerOptions = {}, group = 'billing') {
  @StreamConsumer(orders, { group })
  class Billing {
    @StreamHandler(orders.event('order.created'), options)
    created(order: OrderCreated, ctx: StreamContext): unknown {
      return behaviour(order, ctx);
    }
  }
  return Billing;
}

describeOn(standalone, cluster)('retry', (redis) => {
  async function start(consumers: AppOptions['consumers'], options: AppOptions['options'] = {}) {
    const app = await startApp({
      connection: redis.connection,
      streams: [orders],
      consumers: consumers ?? [],
      options,
    });
    return app.get<StreamProducer<typeof orders>>(getStreamToken(orders));
  }
  /** Everything is settled: nothing pending, nothing waiting. */
  const settled = () =>
    eventually(async () => {
      const client = redis.client();
      expect(await pending(client)).toEqual([]);
      expect(await pending(client, 'billing', retryKey)).toEqual([]);
      expect(await client.zcard(`${retryKey}:due`)).toBe(0);
      expect(await client.hlen(`${retryKey}:delayed`)).toBe(0);
    });

  it('tries again after the backoff, tells the attempt, and leaves nothing behind', async () => {
    const runs: { attempt: number; deliveries: number; id: string; messageId: string; at: number }[] = [];
    const failTwice = consumerClass(
      (_order, { attempt, deliveries, id, messageId }) => {
        runs.push({ attempt, deliveries, id, messageId, at: performance.now() });
        if (attempt < 3) throw new Error('not yet');
      },
      { retry: { attempts: 5, backoff: 200 } },
    );
    const producer = await start([failTwice]);
    const { id } = await producer.publish('order.created', { id: 1 }, { messageId: 'm-1', headers: { tenant: 'a' } });
    await eventually(() => runs.length === 3, { within: 15_000 });
    expect(runs).toMatchObject([1, 2, 3].map((attempt) => ({ attempt, deliveries: attempt, id, messageId: 'm-1' })));
    for (const [before, after] of [
      [runs[0], runs[1]],
      [runs[1], runs[2]],
    ]) {
      expect((after?.at ?? 0) - (before?.at ?? 0)).toBeGreaterThanOrEqual(199);
    }
    await settled();
    expect(await redis.client().xlen(retryKey)).toBe(0);
    expect(await redis.client().exists(billingDeadLetters)).toBe(0);
  });

  it('never bothers other groups with the retries of one', async () => {
    const mail: number[] = [];
    const billing: number[] = [];
    const failing = consumerClass(
      ({ id }, { attempt }) => {
        billing.push(id);
        if (attempt < 4) throw new Error('not yet');
      },
      { retry: { backoff: 1 } },
    );
    const producer = await start([failing, consumerClass(({ id }) => mail.push(id), {}, 'mail')]);
    await producer.publish('order.created', { id: 1 });
    await eventually(() => billing.length === 4);
    await producer.publish('order.created', { id: 2 });
    await eventually(() => mail.includes(2));
    expect(mail).toEqual([1, 2]);
    expect(await redis.client().xlen(ordersKey)).toBe(2);
  });

  it('counts failures of the handler, not deliveries whose consumer died', async () => {
    const client = redis.client();
    await client.xadd(ordersKey, '*', 't', 'order.created', 'd', '{"id":1}');
    await client.xgroup('CREATE', ordersKey, 'billing', '0');
    await client.xreadgroup('GROUP', 'billing', 'crashed', 'STREAMS', ordersKey, '>');
    await age(client, 30_000);
    const runs: unknown[] = [];
    const failOnce = consumerClass(
      (_order, { attempt, deliveries }) => {
        runs.push({ attempt, deliveries });
        if (attempt < 2) throw new Error('not yet');
      },
      { retry: { attempts: 2, backoff: 1 } },
    );
    await start([failOnce]);
    await eventually(() => runs.length === 2);
    expect(runs).toEqual([
      { attempt: 1, deliveries: 2 },
      { attempt: 2, deliveries: 2 },
    ]);
    await settled();
    expect(await client.exists(billingDeadLetters)).toBe(0);
  });

  it('hands a retry over when the process that runs it dies', async () => {
    let begun = 0;
    const app = await startApp({
      connection: redis.connection,
      streams: [orders],
      consumers: [
        consumerClass(
          (_order, { attempt }) => {
            if (attempt === 1) throw new Error('not yet');
            begun += 1;
            return new Promise(() => undefined);
          },
          { retry: { backoff: 1 } },
        ),
      ],
      options: { drainTimeout: 0 },
    });
    await app.get<StreamProducer<typeof orders>>(getStreamToken(orders)).publish('order.created', { id: 7 });
    await eventually(() => begun === 1);
    await closeApp(app);
    const client = redis.client();
    await age(client, 30_000, 'billing', retryKey);
    const seen: unknown[] = [];
    await start([consumerClass(({ id }, { attempt, deliveries }) => seen.push({ id, attempt, deliveries }))]);
    await eventually(() => seen.length === 1);
    expect(seen).toEqual([{ id: 7, attempt: 2, deliveries: 3 }]);
    await settled();
  });

  it('waits as long as the handler says, by an error or by ctx.retry', async () => {
    const runs: number[] = [];
    const asking = consumerClass(
      (_order, { attempt, retry }) => {
        runs.push(attempt);
        if (attempt === 1) throw new RetryAfterError(50);
        if (attempt === 2) retry({ delay: 50 });
      },
      { retry: { backoff: '1h' } },
    );
    const producer = await start([asking]);
    await producer.publish('order.created', { id: 1 });
    await eventually(() => runs.length === 3);
    expect(runs).toEqual([1, 2, 3]);
    await settled();
  });

  it('makes a dead letter when the attempts are used up, also by ctx.retry, and at once when the handler says so', async () => {
    const consumer = consumerClass(
      ({ id }, { retry, deadLetter }) => {
        if (id === 1) throw new UnrecoverableError('never');
        if (id === 2) deadLetter('no such customer');
        if (id === 3) retry({ delay: 0 });
        if (id === 4) return rejectingWith('a text');
        return undefined;
      },
      { retry: { attempts: 2, backoff: 1 } },
    );
    const producer = await start([consumer]);
    for (const id of [1, 2, 3, 4]) await producer.publish('order.created', { id });
    const client = redis.client();
    await eventually(async () => {
      expect(await client.xlen(billingDeadLetters)).toBe(4);
    });
    const letters = await entries(client, billingDeadLetters);
    expect(letters.toSorted((a, b) => String(a['d']).localeCompare(String(b['d'])))).toMatchObject([
      { d: '{"id":1}', 'x-reason': 'unrecoverable', 'x-attempts': '1', 'x-message': 'never' },
      { d: '{"id":2}', 'x-reason': 'unrecoverable', 'x-attempts': '1', 'x-message': 'no such customer' },
      { d: '{"id":3}', 'x-reason': 'attempts', 'x-attempts': '2', 'x-message': '' },
      { d: '{"id":4}', 'x-reason': 'attempts', 'x-attempts': '2', 'x-message': 'a text' },
    ]);
    // As of the original: nothing of the retry stream is left in it.
    expect(letters[0]).not.toHaveProperty('o');
    await settled();
  });

  it('tells the class of its dead letters, and lets them be when that fails', async () => {
    const told: DeadLetter[] = [];
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @StreamHandler(orders.event('order.created'), { retry: { attempts: 2, backoff: 1 } })
      created() {
        throw new RangeError('no such customer');
      }
      @OnDeadLetter()
      buried(letter: DeadLetter) {
        told.push(letter);
        throw new Error('the mail server is down');
      }
    }
    const producer = await start([Billing]);
    const { id } = await producer.publish('order.created', { id: 5 }, { key: 'k', headers: { tenant: 'a' } });
    await eventually(() => told.length === 1);
    expect(told[0]).toMatchObject({
      ...{ entryId: id, reason: 'attempts', deliveries: 2 },
      error: { name: 'RangeError', message: 'no such customer' },
      message: { type: 'order.created', key: 'k', payload: { id: 5 }, headers: { tenant: 'a' } },
    });
    const [letter] = await redis.client().xrange(billingDeadLetters, '-', '+');
    expect(told[0]?.id).toBe(letter?.[0]);
    await settled();
    expect(told).toHaveLength(1);
    expect(await redis.client().xlen(billingDeadLetters)).toBe(1);
  });
});

describe('a retry whose reply is lost', () => {
  it('is scheduled once', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    await using _apps = closingApps();
    const runs: number[] = [];
    let fail: () => void = () => undefined;
    const app = await startApp({
      connection: { url: proxy.url },
      streams: [orders],
      consumers: [
        consumerClass(
          (_order, { attempt }) => {
            runs.push(attempt);
            if (attempt > 1) return undefined;
            return new Promise((_, reject) => {
              fail = () => {
                reject(new Error('not yet'));
              };
            });
          },
          { retry: { backoff: 300 } },
        ),
      ],
      // Nobody else runs a script meanwhile: neither the reaper nor a renewal.
      options: { claimInterval: '60s' },
    });
    await app.get<StreamProducer<typeof orders>>(getStreamToken(orders)).publish('order.created', { id: 1 });
    await eventually(() => runs.length === 1);
    const lost = proxy.dropReply('EVALSHA', { thenReset: true });
    fail();
    await eventually(() => lost.injected > 0);
    await eventually(() => runs.length === 2, { within: 20_000 });
    const client = server.client();
    await eventually(async () => {
      expect(await pending(client)).toEqual([]);
      expect(await pending(client, 'billing', retryKey)).toEqual([]);
    });
    expect(runs).toEqual([1, 2]);
    expect(await client.exists(`${retryKey}:due`, `${retryKey}:delayed`)).toBe(0);
  });
});

describe('backoff', () => {
  it('is random below a limit that doubles, up to its maximum', () => {
    const { firstMs, maxMs } = exponential('1s', { max: '5m' });
    expect([firstMs, maxMs]).toEqual([1_000, 300_000]);
    expect(() => exponential('5m', { max: '1s' })).toThrow('max');
    expect(() => new RetryAfterError('soon' as never)).toThrow('RetryAfterError');
  });
});
