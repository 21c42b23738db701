import { jest } from '@jest/globals';
import { getRedisConnectionToken, type RedisConnection } from '@redstart/redis-core';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import { StreamConsumer, StreamHandler } from '../src/index.js';
import { orders, type OrderCreated } from './support/orders.js';
import { ordersKey } from './support/read-redis.js';
import { closeApp, compileApp } from './support/start-app.js';

describeOn(standalone, cluster)('a reader that is about to begin', (redis) => {
  it.each([true, false])('does nothing before it knows whether the group is paused (%s)', async (isPaused) => {
    const client = redis.client();
    if (isPaused) await client.set(`${ordersKey}:paused:billing`, '1');
    await client.xadd(ordersKey, '*', 't', 'order.created', 'd', '{"id":1}');
    const seen: number[] = [];
    @StreamConsumer(orders, { group: 'billing' })
    class Billing {
      @StreamHandler(orders.event('order.created'))
      created({ id }: OrderCreated) {
        seen.push(id);
      }
    }
    const options = { block: '60s' } as const;
    const app = await compileApp({ connection: redis.connection, streams: [orders], consumers: [Billing], options });
    const connection = app.get<RedisConnection>(getRedisConnectionToken());
    const send = connection.call.bind(connection);
    const answers = gate();
    const happened: string[] = [];
    jest.spyOn(connection, 'call').mockImplementation(async (call, ...rest) => {
      const { operation } = call;
      if (operation === 'streams.resume') happened.push('resumes');
      if (operation !== 'streams.paused') return send(call, ...rest);
      happened.push('asks');
      await answers.opened;
      const answer = await send(call, ...rest);
      happened.push('knows');
      return answer;
    });
    await app.init();
    try {
      await eventually(() => happened.includes('asks'));
      answers.open();
      if (isPaused) await eventually(() => happened.includes('knows'));
      else await eventually(() => seen.length === 1);
    } finally {
      answers.open();
      await closeApp(app);
    }
    expect(happened.filter((what) => what !== 'asks')[0]).toBe('knows');
    expect(seen).toEqual(isPaused ? [] : [1]);
    if (isPaused) expect(happened).not.toContain('resumes');
  });
});

function gate() {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}
