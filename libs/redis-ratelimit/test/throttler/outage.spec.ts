import { RedisUnavailableError, type Duration } from '@redstart/redis-core';
import { describeOn, FaultProxy, standalone } from '@redstart/redis-testing';
import { RedisThrottlerStorage, type OnError } from '../../src/index.js';
import { startApp, type TestApp } from '../test-app.js';

const minute = 60_000;

describeOn(standalone)('RedisThrottlerStorage while Redis does not answer', (redis) => {
  let proxy: FaultProxy;
  let app: TestApp | undefined;

  const start = async (options: { onError?: OnError; budget?: Duration } = {}) => {
    app = await startApp({ url: proxy.url }, options);
    const storage = app.get(RedisThrottlerStorage);
    return (key: string, block = 0) => storage.increment(key, minute, 2, block, 'default');
  };

  beforeEach(async () => {
    proxy = await FaultProxy.start(redis.server);
  });
  afterEach(async () => {
    await app?.close();
    await proxy.stop();
  });

  it('counts in this process by itself, within its budget of 100 ms and with the same limit', async () => {
    const hit = await start();
    expect(await hit('before')).toMatchObject({ totalHits: 1 });
    using silence = proxy.blackhole();
    const began = performance.now();
    expect(await hit('ann')).toMatchObject({ totalHits: 1, isBlocked: false });
    expect(performance.now() - began).toBeLessThan(4_000);
    const rest = await Promise.all([1, 2, 3].map(() => hit('ann')));
    expect(rest.filter(({ isBlocked }) => !isBlocked)).toHaveLength(1);
    expect(await hit('bob', minute)).toMatchObject({ totalHits: 1 });
    expect(silence.injected).toBeGreaterThan(0);
  });

  it('costs nothing per hit in a long outage', async () => {
    const hit = await start();
    await hit('ann');
    using refusal = proxy.refuse();
    const began = performance.now();
    for (let i = 0; i < 200; i++) await hit(`client ${i}`);
    // Without the breaker each of them would wait for the whole budget: 20 s.
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(refusal.injected).toBeGreaterThan(0);
  });

  it('lets everything through when open, and fails when closed', async () => {
    const open = await start({ onError: 'open' });
    {
      using silence = proxy.blackhole();
      const record = { totalHits: 0, timeToExpire: 0, isBlocked: false, timeToBlockExpire: 0 };
      for (let i = 0; i < 4; i++) expect(await open('ann')).toEqual(record);
      expect(silence.injected).toBeGreaterThan(0);
    }
    await app?.close();
    const closed = await start({ onError: 'closed' });
    using silence = proxy.blackhole();
    await expect(closed('ann')).rejects.toBeInstanceOf(RedisUnavailableError);
    expect(silence.injected).toBeGreaterThan(0);
  });

  it('counts a hit once in Redis when its reply is lost', async () => {
    // With time enough: the connection is reset, and that is what ends the hit.
    const hit = await start({ budget: '10s' });
    // Redis knows the script, so that the lost reply is one to a hit.
    await hit('warm');
    expect(await redis.client().exists('test:throttler:{default:warm}:hits')).toBe(1);
    const lost = proxy.dropReply('EVALSHA', { thenReset: true });
    expect(await hit('bob')).toMatchObject({ totalHits: 1, isBlocked: false });
    expect(lost.injected).toBe(1);
    expect(await redis.client().llen('test:throttler:{default:bob}:hits')).toBe(1);
  });
});
