import { getRedisConnectionToken, RedisUnavailableError, type RedisConnection } from '@redstart/redis-core';
import { eventually, RedisServer } from '@redstart/redis-testing';
import {
  defineStream,
  event,
  getStreamToken,
  StreamConsumer,
  StreamHandler,
  UnrecoverableError,
  type StreamContext,
  type StreamProducer,
} from '../src/index.js';
import { age, entries, pending } from './support/read-redis.js';
import { closeApp, closingApps, startApp } from './support/start-app.js';

interface Bill {
  n: number;
}
const bills = defineStream('bills', {
  events: {
    plain: event<Bill>(),
    once: event<Bill>(),
    committed: event<Bill>(),
    failing: event<Bill>(),
    hopeless: event<Bill>(),
    long: event<Bill>(),
  },
});
const moves = defineStream('moves', { events: { moved: event<Bill>() }, partitions: 1 });
const key = 'shop:stream:{bills}';
const retryKey = `${key}:retry:billing`;
const ownerKey = 'shop:stream:{moves/0}:owner:billing';
const patience = { within: 20_000 };
const types = ['plain', 'once', 'committed', 'failing', 'hopeless', 'long'] as const;

describe('a server whose memory is full, and that evicts nothing', () => {
  it('takes in nothing, and lets everything go on that is there', async () => {
    await using server = await RedisServer.start();
    await using _apps = closingApps();
    const client = server.client();
    const done: string[] = [];
    const begun: string[] = [];
    let full: () => void = () => undefined;
    let free: () => void = () => undefined;
    const isFull = new Promise<void>((resolve) => (full = resolve));
    const isFree = new Promise<void>((resolve) => (free = resolve));

    const handle = async ({ n }: Bill, ctx: StreamContext) => {
      begun.push(ctx.type);
      await isFull;
      if (ctx.type === 'committed') await ctx.commit((multi) => multi.incrby('sum{bills}', n));
      if (ctx.type === 'failing' && ctx.attempt === 1) throw new Error('not yet');
      if (ctx.type === 'hopeless') throw new UnrecoverableError('never');
      if (ctx.type === 'long') await isFree;
      done.push(ctx.type);
    };
    @StreamConsumer(bills, { group: 'billing', concurrency: 5 })
    class Billing {
      @StreamHandler('once', { idempotent: true })
      once(bill: Bill, ctx: StreamContext) {
        return handle(bill, ctx);
      }

      @StreamHandler('*', { retry: { backoff: 1 } })
      any(bill: Bill, ctx: StreamContext) {
        return handle(bill, ctx);
      }
    }
    @StreamConsumer(moves, { group: 'billing' })
    class Moving {
      @StreamHandler(moves.event('moved'))
      moved() {
        done.push('moved');
      }
    }
    const app = await startApp({
      connection: { url: server.url },
      streams: [bills, moves],
      consumers: [Billing, Moving],
      options: { minIdle: '6s' },
    });
    const producer = app.get<StreamProducer<typeof bills>>(getStreamToken(bills));
    for (const type of types) await producer.publish(type, { n: 1 });
    // One more than there are slots: it begins in full memory, note and all.
    await producer.publish('once', { n: 2 }, { messageId: 'second' });
    await eventually(() => begun.length === 5, patience);
    await eventually(async () => (await client.exists(ownerKey)) === 1, patience);

    await client.config('SET', 'maxmemory', '1');
    full();
    await expect(producer.publish('plain', { n: 2 })).rejects.toThrow(RedisUnavailableError);
    await expect(producer.publish('plain', { n: 2 }, { delay: 1 })).rejects.toThrow(RedisUnavailableError);
    await eventually(async () => {
      expect(done.toSorted()).toEqual(['committed', 'failing', 'once', 'once', 'plain']);
      // Begun: what waits for a slot is given back after a while, and delivered anew.
      expect(begun).toContain('long');
      expect(await pending(client, 'billing', key)).toHaveLength(1);
      expect(await pending(client, 'billing', retryKey)).toEqual([]);
      expect(await entries(client, `${key}:dlq:billing`)).toMatchObject([{ t: 'hopeless' }]);
    }, patience);
    expect(await client.get('sum{bills}')).toBe('1');
    // What is held stays ours, and so do partitions.
    const connection = app.get<RedisConnection>(getRedisConnectionToken());
    await client.pexpire(ownerKey, 3_000);
    await connection.subscriber.publish(connection.client, 'shop:stream:{moves}:members:billing', 'changed');
    await eventually(async () => (await client.pttl(ownerKey)) > 3_000, patience);
    const [before] = await pending(client, 'billing', key);
    // Nobody has renewed it for a second: it gets younger by a renewal, or by one more delivery.
    await age(client, 1_000, 'billing', key);
    await eventually(async () => {
      const [long] = await pending(client, 'billing', key);
      expect(long?.idleMs).toBeLessThan(1_000);
      expect(long?.deliveries).toBe(before?.deliveries);
    }, patience);

    await client.config('SET', 'maxmemory', '0');
    free();
    await producer.publish('plain', { n: 3 });
    const mover = app.get<StreamProducer<typeof moves>>(getStreamToken(moves));
    await mover.publish('moved', { n: 1 }, { key: 'a' });
    await eventually(async () => {
      expect(done.slice(5).toSorted()).toEqual(['long', 'moved', 'plain']);
      expect(await pending(client, 'billing', key)).toEqual([]);
    }, patience);
    await closeApp(app);
  });

  it('lets a consumer read on over another connection', async () => {
    await using server = await RedisServer.start();
    await using _apps = closingApps();
    const client = server.client();
    const count = 40;
    const handled = { moved: new Set<number>(), plain: new Set<number>() };
    let full: () => void = () => undefined;
    const isFull = new Promise<void>((resolve) => (full = resolve));

    @StreamConsumer(bills, { group: 'billing', concurrency: 1, prefetch: 1 })
    class Billing {
      @StreamHandler('plain')
      async plain({ n }: Bill) {
        await isFull;
        handled.plain.add(n);
      }
    }
    @StreamConsumer(moves, { group: 'billing', concurrency: 1, prefetch: 1 })
    class Moving {
      @StreamHandler('moved')
      async moved({ n }: Bill) {
        await isFull;
        handled.moved.add(n);
      }
    }
    const app = await startApp({
      connection: { url: server.url },
      streams: [bills, moves],
      consumers: [Billing, Moving],
    });
    const biller = app.get<StreamProducer<typeof bills>>(getStreamToken(bills));
    const mover = app.get<StreamProducer<typeof moves>>(getStreamToken(moves));
    for (let n = 0; n < count; n += 1) {
      await biller.publish('plain', { n });
      await mover.publish('moved', { n }, { key: 'a' });
    }
    await client.config('SET', 'maxmemory', '1');
    await client.call('client', 'KILL', 'SKIPME', 'yes');
    full();
    await eventually(() => {
      expect([handled.plain.size, handled.moved.size]).toEqual([count, count]);
    }, patience);
    await closeApp(app);
  });
});
