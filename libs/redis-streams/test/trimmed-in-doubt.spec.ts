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
import { closeApps, startApp, type AppOptions } from './support/start-app.js';

afterEach(closeApps);

interface Created {
  id: number;
}
const orders = defineStream('orders', { events: { created: event<Created>() } });
const ordersKey = 'shop:stream:{orders}';
const retryKey = `${ordersKey}:retry:billing`;
const patience = { within: 20_000 };

describeOn(standalone, cluster)('an entry that is gone', (redis) => {
  type Behaviour = (order: Created, ctx: StreamContext) => unknown;

  function start(behaviour: Behaviour, { options }: Pick<AppOptions, 'options'> = {}) {
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @StreamHandler('created', { retry: { backoff: 1 } })
      created(order: Created, ctx: StreamContext): unknown {
        return behaviour(order, ctx);
      }
    }
    // Nobody sweeps.
    return startApp({
      ...{ connection: redis.connection, streams: [orders], consumers: [Billing] },
      options: { claimInterval: '60s', ...options },
    });
  }
  const publish = (app: TestingModule, id = 1) =>
    app.get<StreamProducer<typeof orders>>(getStreamToken(orders)).publish('created', { id }, { key: 'a' });

  /** Does something between the answer to a call and who asked. */
  function behind(app: TestingModule, act: (operation: string) => Promise<void> | void): void {
    const connection = app.get<RedisConnection>(getRedisConnectionToken());
    const send = connection.call.bind(connection);
    jest.spyOn(connection, 'call').mockImplementation(async (call, ...rest) => {
      const reply = await send(call, ...rest);
      await act(call.operation);
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
    behind(app, async (operation) => {
      if (operation !== 'streams.commit' || attempts.length > 1) return;
      await client.xtrim(ordersKey, 'MAXLEN', 0);
      throw new RedisUnavailableError('no answer', 'unknown');
    });
    await publish(app);
    await eventually(async () => (await client.get('count{orders}')) === '1', patience);
    await nothingMore();
    expect({ attempts, count: await client.get('count{orders}') }).toEqual({ attempts: [1], count: '1' });
  });

  it('may have been scheduled when no answer has come, also when a renewal finds it gone meanwhile', async () => {
    const attempts: number[] = [];
    const client = redis.client();
    const app = await start(
      (_order, { attempt }) => {
        attempts.push(attempt);
        if (attempt === 1) throw new Error('not yet');
      },
      { options: { minIdle: '1s' } },
    );
    let renewals = 0;
    let calls = 0;
    behind(app, async (operation) => {
      if (operation === 'streams.renew') renewals += 1;
      if (operation !== 'streams.retry' || (calls += 1) > 1) return;
      await client.xtrim(ordersKey, 'MAXLEN', 0);
      const before = renewals;
      await eventually(() => attempts.length === 2 && renewals > before, patience);
      throw new RedisUnavailableError('no answer', 'unknown');
    });
    await publish(app);
    await eventually(() => calls === 2, patience);
    await nothingMore();
    expect(attempts).toEqual([1, 2]);
  });
});
