import { cluster, describeOn, eventually, FaultProxy, RedisServer, standalone } from '@redstart/redis-testing';
import { getRedisConnectionToken, OptionsError, type RedisConnection } from '@redstart/redis-core';
import {
  AlreadyCommittedError,
  EntryLostError,
  getStreamToken,
  RedisStreams,
  StreamConsumer,
  StreamHandler,
  type Effects,
  type StreamContext,
  type StreamHandlerOptions,
  type StreamProducer,
} from '../src/index.js';
import { orders, type OrderCreated } from './support/orders.js';
import { age, billingDeadLetters, ordersKey, pending, settled } from './support/read-redis.js';
import { closeApps, closingApps, startApp, type AppOptions } from './support/start-app.js';

afterEach(closeApps);

const retryKey = `${ordersKey}:retry:billing`;
const inboxOf = (messageId: string) => `${ordersKey}:inbox:billing:${messageId}`;
const never = () => new Promise<void>(() => undefined);

function consumerClass(
  behaviour: (order: OrderCreated, ctx: StreamContext) => unknown,
  options: StreamHandlerOptions = {},
) {
  @StreamConsumer(orders, { group: 'billing' })
  class Billing {
    @StreamHandler(orders.event('order.created'), options)
    created(order: OrderCreated, ctx: StreamContext): unknown {
      return behaviour(order, ctx);
    }
  }
  return Billing;
}

const entry = (id: number, messageId: string) => ['t', 'order.created', 'd', JSON.stringify({ id }), 'i', messageId];

describeOn(standalone, cluster)('idempotent handlers', (redis) => {
  const start = (consumer: NonNullable<AppOptions['consumers']>[number], options: AppOptions['options'] = {}) =>
    startApp({
      connection: redis.connection,
      streams: [orders],
      consumers: [consumer],
      options: { drainTimeout: 0, ...options },
    });

  it('handles a message once that was published twice, and remembers that for the ttl', async () => {
    const client = redis.client();
    const seen: number[] = [];
    await start(consumerClass(({ id }) => seen.push(id), { idempotent: { ttl: '2h' } }));
    await client.xadd(ordersKey, '*', ...entry(1, 'm-1'));
    await eventually(() => seen.length === 1);
    await settled(client);
    await client.xadd(ordersKey, '*', ...entry(1, 'm-1'));
    await client.xadd(ordersKey, '*', ...entry(2, 'm-2'));
    await eventually(() => seen.includes(2));
    await settled(client);
    expect(seen).toEqual([1, 2]);
    expect(await client.get(inboxOf('m-1'))).toMatch(/^d:/);
    const ttl = await client.pttl(inboxOf('m-1'));
    expect(ttl).toBeGreaterThan(7_000_000);
    expect(ttl).toBeLessThanOrEqual(7_200_000);
  });

  it('handles a message once also when both publications are delivered together', async () => {
    const client = redis.client();
    for (let copy = 0; copy < 5; copy += 1) await client.xadd(ordersKey, '*', ...entry(1, 'm-1'));
    let runs = 0;
    let finish: () => void = () => undefined;
    await start(
      consumerClass(
        () => {
          runs += 1;
          return new Promise<void>((resolve) => (finish = resolve));
        },
        { idempotent: true },
      ),
    );
    await eventually(() => runs === 1);
    // The copies wait until the lease would end, apart from the stream.
    await eventually(async () => (await client.zcard(`${retryKey}:due`)) === 4);
    finish();
    await eventually(async () => (await client.get(inboxOf('m-1')))?.startsWith('d:') === true);
    // They are due now.
    for (const id of await client.zrange(`${retryKey}:due`, '0', '-1')) await client.zadd(`${retryKey}:due`, '0', id);
    await settled(client);
    expect(runs).toBe(1);
    expect(await client.exists(billingDeadLetters)).toBe(0);
  });

  it('lets the next attempt run after a failure, and none after success', async () => {
    const client = redis.client();
    const attempts: number[] = [];
    const failOnce = consumerClass(
      (_order, { attempt }) => {
        attempts.push(attempt);
        if (attempt === 1) throw new Error('not yet');
      },
      { idempotent: true, retry: { backoff: 1 } },
    );
    const app = await start(failOnce);
    const producer = app.get<StreamProducer<typeof orders>>(getStreamToken(orders));
    await producer.publish('order.created', { id: 1 }, { messageId: 'm-1' });
    await eventually(() => attempts.length === 2);
    await settled(client);
    expect(attempts).toEqual([1, 2]);
    expect(await client.get(inboxOf('m-1'))).toMatch(/^d:/);
  });

  it('waits for the lease of a process that died in the middle, without counting an attempt', async () => {
    const client = redis.client();
    let begun = 0;
    const dead = await start(
      consumerClass(
        () => {
          begun += 1;
          return never();
        },
        { idempotent: true },
      ),
    );
    await dead
      .get<StreamProducer<typeof orders>>(getStreamToken(orders))
      .publish('order.created', { id: 1 }, { messageId: 'm-1' });
    await eventually(() => begun === 1);
    await dead.get<RedisConnection>(getRedisConnectionToken()).close();
    await age(client, 30_000);
    const seen: unknown[] = [];
    await start(consumerClass(({ id }, { attempt }) => seen.push({ id, attempt }), { idempotent: true }));
    // The entry is another's, the lease goes on.
    await eventually(async () => (await client.zcard(`${retryKey}:due`)) === 1);
    expect(seen).toEqual([]);
    const [due = ''] = await client.zrange(`${retryKey}:due`, '0', '-1');
    expect(Number(await client.zscore(`${retryKey}:due`, due))).toBeGreaterThan(Date.now() + 10_000);
    await client.del(inboxOf('m-1'));
    await client.zadd(`${retryKey}:due`, '0', due);
    await eventually(() => {
      expect(seen).toEqual([{ id: 1, attempt: 1 }]);
    });
    await settled(client);
  });

  it('renews the lease while the handler runs, also when the entry has become another’s', async () => {
    const client = redis.client();
    let begun = 0;
    let signal: AbortSignal | undefined;
    let finish: () => void = () => undefined;
    const app = await start(
      consumerClass(
        (_order, ctx) => {
          begun += 1;
          ({ signal } = ctx);
          return new Promise<void>((resolve) => (finish = resolve));
        },
        { idempotent: true },
      ),
      { minIdle: '4s', claimInterval: '60s' },
    );
    await app
      .get<StreamProducer<typeof orders>>(getStreamToken(orders))
      .publish('order.created', { id: 1 }, { messageId: 'm-1' });
    await eventually(() => begun === 1);
    // A renewal comes every 1.3 s, so one may be late.
    const renewed = async () => {
      await client.pexpire(inboxOf('m-1'), 3_500);
      await eventually(async () => (await client.pttl(inboxOf('m-1'))) > 3_500, { within: 15_000 });
    };
    await renewed();
    for (const { id } of await pending(client)) {
      await client.call('xclaim', ordersKey, 'billing', 'another', 0, id, 'JUSTID');
    }
    await eventually(() => signal?.aborted === true, { within: 15_000 });
    await renewed();
    finish();
    await settled(client);
  });
});

describeOn(standalone, cluster)('ctx.commit', (redis) => {
  const start = (consumer: NonNullable<AppOptions['consumers']>[number]) =>
    startApp({ connection: redis.connection, streams: [orders], consumers: [consumer], options: { drainTimeout: 0 } });

  it('carries out the effect and acknowledges in one step; what the handler does afterwards changes nothing', async () => {
    const client = redis.client();
    let runs = 0;
    let fail: (() => void) | undefined;
    const app = await start(
      consumerClass(
        async ({ id }, ctx) => {
          runs += 1;
          expect(ctx.hashTag).toBe('{orders}');
          await ctx.commit((multi) =>
            multi
              .incrby('count{orders}', 2)
              .hset('stock{orders}', { left: id })
              .set('last{orders}', Buffer.from([0xff])),
          );
          await new Promise((_, reject) => {
            fail = () => {
              reject(new Error('after the commit'));
            };
          });
        },
        { retry: { backoff: 1 } },
      ),
    );
    await app.get<StreamProducer<typeof orders>>(getStreamToken(orders)).publish('order.created', { id: 7 });
    await eventually(async () => (await client.get('count{orders}')) === '2');
    expect(await pending(client)).toEqual([]);
    expect(await client.hgetall('stock{orders}')).toEqual({ left: '7' });
    expect(await client.getBuffer('last{orders}')).toEqual(Buffer.from([0xff]));
    await eventually(() => fail !== undefined);
    fail?.();
    await closeApps();
    expect(runs).toBe(1);
    expect(await client.exists(billingDeadLetters, `${retryKey}:due`)).toBe(0);
    expect(await client.get('count{orders}')).toBe('2');
  });

  it('commits once: a second one is refused, and whatever the handler does behind it, the message is handled', async () => {
    const client = redis.client();
    const outcome: unknown[] = [];
    let runs = 0;
    const app = await start(
      consumerClass(
        async (_order, ctx) => {
          runs += 1;
          const first = ctx.commit((multi) => multi.incr('count{orders}'));
          const refused = (effects: Promise<void>) => effects.catch((error: unknown) => outcome.push(error));
          await refused(ctx.commit((multi) => multi.incr('other{orders}')));
          await first;
          await refused(ctx.commit((multi) => multi.incr('other{orders}')));
          ctx.retry();
          throw new Error('after the commit');
        },
        { retry: { backoff: 1 } },
      ),
    );
    await app.get<StreamProducer<typeof orders>>(getStreamToken(orders)).publish('order.created', { id: 7 });
    await eventually(() => outcome.length === 2);
    for (const error of outcome) expect(error).toBeInstanceOf(AlreadyCommittedError);
    await closeApps();
    expect(runs).toBe(1);
    expect(await client.get('count{orders}')).toBe('1');
    expect(await client.exists('other{orders}', billingDeadLetters, `${retryKey}:due`)).toBe(0);
    expect(await pending(client)).toEqual([]);
  });

  it('changes nothing when the message belongs to another consumer by now', async () => {
    const client = redis.client();
    let go: (() => void) | undefined;
    const outcome: unknown[] = [];
    const app = await start(
      consumerClass(async (_order, ctx) => {
        await new Promise<void>((resolve) => (go = resolve));
        outcome.push(await ctx.commit((multi) => multi.incr('count{orders}')).catch((error: unknown) => error));
      }),
    );
    const { id } = await app
      .get<StreamProducer<typeof orders>>(getStreamToken(orders))
      .publish('order.created', { id: 1 });
    await eventually(() => go !== undefined);
    await client.call('xclaim', ordersKey, 'billing', 'thief', 0, id);
    go?.();
    await eventually(() => outcome.length === 1);
    expect(outcome[0]).toBeInstanceOf(EntryLostError);
    expect(await client.exists('count{orders}')).toBe(0);
  });

  it('does not acknowledge when a command fails, nor takes what is no command', async () => {
    const client = redis.client();
    await client.set('text{orders}', 'x');
    const outcome: string[] = [];
    // What they do comes too late, whether they wait for something or not, and ends no process.
    const awaits: Effects = async (multi) => {
      await Promise.resolve();
      multi.incr('late{orders}');
    };
    const returns: Effects = async (multi) => Promise.resolve(multi.incr('late{orders}'));
    // Of a promise that is none of the language's own.
    const foreign: Effects = (multi) => ({
      then: (_: unknown, fail: (error: unknown) => void) => {
        try {
          multi.incr('late{orders}');
        } catch (error) {
          fail(error);
        }
      },
    });
    const app = await start(
      consumerClass(
        async (_order, ctx) => {
          if (ctx.attempt > 1) return;
          await ctx.commit((multi) => multi.exec()).catch((error: unknown) => outcome.push(String(error)));
          for (const effects of [awaits, returns, foreign]) {
            await ctx.commit(effects).catch((error: unknown) => outcome.push(String(error)));
          }
          await ctx
            .commit((multi) => multi.lpush('text{orders}', 1))
            .catch((error: unknown) => {
              outcome.push(String(error));
              throw error;
            });
        },
        { retry: { backoff: 1 } },
      ),
    );
    await app.get<StreamProducer<typeof orders>>(getStreamToken(orders)).publish('order.created', { id: 1 });
    await eventually(() => outcome.length === 5);
    expect(outcome[0]).toContain('ctx.commit((multi) => multi.exec)');
    expect(outcome.slice(1, 4)).toEqual([
      expect.stringContaining('got an asynchronous one'),
      expect.stringContaining('got an asynchronous one'),
      expect.stringContaining('got an asynchronous one'),
    ]);
    expect(outcome[4]).toContain('WRONGTYPE');
    expect(await client.exists('late{orders}')).toBe(0);
    await settled(client);
  });

  it('is an effect of an idempotent handler, too', async () => {
    const client = redis.client();
    let runs = 0;
    const app = await start(
      consumerClass(
        async (_order, ctx) => {
          runs += 1;
          await ctx.commit((multi) => multi.incr('count{orders}'));
        },
        { idempotent: true },
      ),
    );
    const producer = app.get<StreamProducer<typeof orders>>(getStreamToken(orders));
    await producer.publish('order.created', { id: 1 }, { messageId: 'm-1' });
    await eventually(async () => (await client.get('count{orders}')) === '1');
    await client.xadd(ordersKey, '*', ...entry(1, 'm-1'));
    await producer.publish('order.created', { id: 2 });
    await eventually(async () => (await client.get('count{orders}')) === '2');
    await eventually(async () => (await pending(client)).length === 0);
    expect(runs).toBe(2);
  });
});

describeOn(cluster)('ctx.commit on a Cluster', (redis) => {
  it('refuses keys of another slot before anything is sent', async () => {
    const outcome: unknown[] = [];
    const app = await startApp({
      connection: redis.connection,
      streams: [orders],
      consumers: [
        consumerClass(async (_order, ctx) => {
          outcome.push(await ctx.commit((multi) => multi.incr('elsewhere')).catch((error: unknown) => error));
        }),
      ],
    });
    await app.get<StreamProducer<typeof orders>>(getStreamToken(orders)).publish('order.created', { id: 1 });
    await eventually(() => outcome.length === 1);
    expect(outcome[0]).toBeInstanceOf(OptionsError);
    expect(String(outcome[0])).toContain('ctx.hashTag');
  });
});

describe('a commit whose reply is lost', () => {
  it('is carried out once', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    await using _apps = closingApps();
    let committed = 0;
    let go: (() => void) | undefined;
    const app = await startApp({
      connection: { url: proxy.url },
      streams: [orders],
      consumers: [
        consumerClass(async ({ id }, ctx) => {
          if (id === 2) await new Promise<void>((resolve) => (go = resolve));
          await ctx.commit((multi) => multi.incr('count{orders}'));
          committed += 1;
        }),
      ],
      options: { claimInterval: '60s' },
    });
    const producer = app.get<StreamProducer<typeof orders>>(getStreamToken(orders));
    // The server knows the script from then on.
    await producer.publish('order.created', { id: 1 });
    await eventually(() => committed === 1);
    // The looks for what is due are scripts, too: the reply that gets lost is to be that of the commit.
    await app.get(RedisStreams).delays.stop();
    await producer.publish('order.created', { id: 2 });
    const client = server.client();
    await eventually(() => go !== undefined);
    const lost = proxy.dropReply('EVALSHA', { thenReset: true });
    go?.();
    await eventually(() => committed === 2, { within: 20_000 });
    expect(lost.injected).toBe(1);
    expect(await client.get('count{orders}')).toBe('2');
    expect(await pending(client)).toEqual([]);
  });
});
