import { once } from 'node:events';
import { jest } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { getRedisConnectionToken, RedisUnavailableError, type RedisConnection } from '@redstart/redis-core';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import {
  defineStream,
  event,
  getStreamToken,
  StreamConsumer,
  StreamHandler,
  type StreamContext,
  type StreamProducer,
} from '../src/index.js';
import { consumers, pending, settled } from './support/read-redis.js';
import { closeApp, closeApps, startApp, type AppOptions } from './support/start-app.js';

afterEach(closeApps);

interface Created {
  id: number;
}
const orders = defineStream('orders', { events: { created: event<Created>() } });
const moves = defineStream('moves', { events: { created: event<Created>() }, partitions: 1 });
const ordersKey = 'shop:stream:{orders}';
const movesKey = 'shop:stream:{moves/0}';
const retryKey = `${ordersKey}:retry:billing`;
const patience = { within: 20_000 };
/** Of an entry that is added last. */
const waitingId = '9999999999999-0';

describeOn(standalone, cluster)('an entry that is gone', (redis) => {
  type Behaviour = (order: Created, ctx: StreamContext) => unknown;

  interface Start extends Pick<AppOptions, 'options' | 'logger'> {
    stream?: typeof orders;
    concurrency?: number;
  }

  function start(behaviour: Behaviour, { stream = orders, concurrency = 10, options, logger }: Start = {}) {
    @StreamConsumer(stream, { group: 'billing', concurrency })
    class Billing {
      @StreamHandler('created', { retry: { backoff: 1 } })
      created(order: Created, ctx: StreamContext): unknown {
        return behaviour(order, ctx);
      }
    }
    // Nobody sweeps.
    const app: AppOptions = {
      ...{ connection: redis.connection, streams: [stream], consumers: [Billing] },
      options: { claimInterval: '60s', ...options },
    };
    return startApp(logger === undefined ? app : { ...app, logger });
  }
  const publish = (app: TestingModule, id = 1, stream = orders) =>
    app.get<StreamProducer<typeof orders>>(getStreamToken(stream)).publish('created', { id }, { key: 'a' });

  type Act = (operation: string) => Promise<void> | void;

  /** Does something before calls are sent, and between their answers and who asked. */
  function around(app: TestingModule, before: Act, after: Act = () => undefined): void {
    const connection = app.get<RedisConnection>(getRedisConnectionToken());
    const send = connection.call.bind(connection);
    jest.spyOn(connection, 'call').mockImplementation(async (call, ...rest) => {
      await before(call.operation);
      const reply = await send(call, ...rest);
      await after(call.operation);
      return reply;
    });
  }

  /** After `close` nothing is being settled any more. */
  async function nothingMore(): Promise<void> {
    await closeApps();
    expect(await redis.client().exists(`${retryKey}:due`)).toBe(0);
    expect(await redis.client().xlen(retryKey)).toBe(0);
  }

  it('from the retry stream was settled by another one, and is not retried', async () => {
    const attempts: number[] = [];
    const app = await start(async (_order, { attempt }) => {
      attempts.push(attempt);
      if (attempt === 2) {
        // What a former owner does who comes to its end at last.
        const client = redis.client();
        const id = (await client.xrange(retryKey, '-', '+'))[0]?.[0] ?? '';
        await client.xack(retryKey, 'billing', id);
        await client.xdel(retryKey, id);
      }
      throw new Error('not yet');
    });
    await publish(app);
    await eventually(() => attempts.length === 2, patience);
    await nothingMore();
    expect(attempts).toEqual([1, 2]);
  });

  it('may have been committed when no answer has come, and is neither retried nor committed again', async () => {
    const attempts: number[] = [];
    const client = redis.client();
    const app = await start(async (_order, { attempt, commit }) => {
      attempts.push(attempt);
      await commit((multi) => multi.incr('count{orders}'));
    });
    const loseAnswer: Act = async (operation) => {
      if (operation !== 'streams.commit' || attempts.length > 1) return;
      await client.xtrim(ordersKey, 'MAXLEN', 0);
      throw new RedisUnavailableError('no answer', 'unknown');
    };
    around(app, () => undefined, loseAnswer);
    await publish(app);
    await eventually(async () => (await client.get('count{orders}')) === '1', patience);
    await nothingMore();
    expect({ attempts, count: await client.get('count{orders}') }).toEqual({ attempts: [1], count: '1' });
  });

  describe('and pending still', () => {
    const isWaiting = async () => (await pending(redis.client())).some(({ id }) => id === waitingId);

    /** One that runs, and another one that waits behind it. */
    async function waiting(options: NonNullable<AppOptions['options']>, before: Act = () => undefined) {
      const seen: number[] = [];
      let go: () => void = () => undefined;
      const app = await start(
        async ({ id }, { signal }) => {
          seen.push(id);
          if (id !== 1) return;
          await Promise.race([new Promise<void>((resolve) => (go = resolve)), once(signal, 'abort')]);
        },
        { concurrency: 1, options },
      );
      around(app, before);
      const client = redis.client();
      await publish(app, 1);
      await eventually(() => seen.length === 1, patience);
      await client.xadd(ordersKey, waitingId, 't', 'created', 'd', '{"id":2}');
      await eventually(isWaiting, patience);
      return {
        ...{ app, client, seen },
        end: () => {
          go();
        },
      };
    }

    it('comes again when it has not begun and is given back', async () => {
      // Deleted just before it is given back: nobody has swept since.
      const { client, end, seen } = await waiting({ minIdle: '6s' }, async (operation) => {
        if (operation === 'streams.release' && (await isWaiting())) await redis.client().xdel(ordersKey, waitingId);
      });
      await eventually(async () => (await client.xlen(retryKey)) === 1, patience);
      end();
      await eventually(() => seen.length === 2, patience);
      expect(seen).toEqual([1, 2]);
      await settled(client);
    });

    it('comes again when it has not begun and its process stops', async () => {
      const { app, client, seen } = await waiting({ minIdle: '10m', drainTimeout: 200 });
      await client.xdel(ordersKey, waitingId);
      await closeApp(app);
      await start(({ id }) => seen.push(id));
      await eventually(() => seen.includes(2), patience);
      await settled(client);
    });

    it('is told by who leaves the group', async () => {
      const warnings: string[] = [];
      const log = () => undefined;
      const logger = { log, error: log, warn: (message: unknown) => warnings.push(String(message)) };
      let handled = false;
      const app = await start(() => (handled = true), { logger });
      const client = redis.client();
      const { id } = await publish(app);
      await eventually(() => handled, patience);
      await settled(client);
      // As one that was delivered and has not arrived.
      const [name = ''] = await consumers(client);
      await client.call('xclaim', ordersKey, 'billing', name, 0, id, 'FORCE', 'JUSTID');
      expect(await pending(client)).toHaveLength(1);
      await client.xdel(ordersKey, id);
      await closeApp(app);
      expect(warnings.join()).toContain('1 entries of "orders" were trimmed or deleted');
    });
  });

  it('comes again when the partition is lost while its handler runs', async () => {
    const attempts: number[] = [];
    const app = await start(
      async (_order, { attempt, signal }) => {
        attempts.push(attempt);
        if (attempts.length > 1) return;
        await once(signal, 'abort');
        throw new Error('interrupted');
      },
      { stream: moves, options: { minIdle: '4s', block: 50 } },
    );
    const client = redis.client();
    const { id } = await publish(app, 1, moves);
    await eventually(() => attempts.length === 1, patience);
    await client.xdel(movesKey, id);
    // A renewal has found it gone.
    await eventually(async () => (await pending(client, 'billing', movesKey)).length === 0, patience);
    await client.set(`${movesKey}:owner:billing`, 'another');
    await eventually(async () => (await client.xlen(`${movesKey}:retry:billing`)) === 1, patience);
    await client.del(`${movesKey}:owner:billing`);
    await eventually(() => attempts.length === 2, patience);
    expect(attempts).toEqual([1, 1]);
  });
});
