import { describeOn, eventually, FaultProxy, standalone } from '@redstart/redis-testing';
import { createPolicies, gcra, RateLimitExceededError, RateLimitService, slidingWindow } from '../src/index.js';
import { startApp, type TestApp } from './test-app.js';

const policies = createPolicies({
  drip: gcra({ rate: 20, per: '1s', burst: 1 }),
  hour: slidingWindow({ limit: 1, window: '1h' }),
  five: slidingWindow({ limit: 5, window: '1h', buckets: 1 }),
});

describeOn(standalone)('waiting for a limit', (redis) => {
  let proxy: FaultProxy;
  let app: TestApp;
  let limiter: RateLimitService;

  beforeAll(async () => {
    proxy = await FaultProxy.start(redis.server);
    app = await startApp({ url: proxy.url }, { policies, budget: '5s' });
    limiter = app.get(RateLimitService);
  });
  afterAll(async () => {
    await app.close();
    await proxy.stop();
  });

  it('is first come, first served, and asks Redis no more often than the limit lets through', async () => {
    await limiter.consume('drip', 'crowd');
    proxy.commands.clear();
    const order: number[] = [];
    const started = performance.now();
    await Promise.all(
      Array.from({ length: 10 }, async (_, turn) => {
        const decision = await limiter.wait('drip', 'crowd', { maxWait: '30s' });
        expect(decision.allowed).toBe(true);
        order.push(turn);
      }),
    );
    expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(performance.now() - started).toBeGreaterThan(9 * 50 - 1); // One unit every 50 ms.
    // Each is denied once, waits for as long as it was told, and passes.
    expect(proxy.commands.get('EVALSHA')).toBeLessThanOrEqual(30);
  });

  it('ends at once when it would take too long', async () => {
    await limiter.consume('hour', 'ann');
    const started = performance.now();
    await expect(limiter.wait('hour', 'ann', { maxWait: '10m' })).rejects.toMatchObject({
      code: 'RATE_LIMIT_EXCEEDED',
      decision: { policy: 'hour', allowed: false },
    });
    expect(performance.now() - started).toBeLessThan(5_000);
  });

  it('never waits for what can never pass', async () => {
    await expect(limiter.wait('drip', 'dear', { cost: 2, maxWait: '1h' })).rejects.toMatchObject({
      retryAfterMs: Infinity,
    });
  });

  it('ends in the line as well, for who has waited too long', async () => {
    const stop = new AbortController();
    await limiter.consume('hour', 'line');
    const patient = limiter.wait('hour', 'line', { maxWait: '300d', signal: stop.signal });
    const ended = expect(patient).rejects.toThrow('enough');
    await expect(limiter.wait('hour', 'line', { maxWait: 20 })).rejects.toBeInstanceOf(RateLimitExceededError);
    stop.abort(new Error('enough'));
    await ended;
  });

  it('is called off by a signal, and hands its place on', async () => {
    await limiter.consume('drip', 'aborted');
    const stop = new AbortController();
    const first = limiter.wait('drip', 'aborted', { maxWait: '1h', signal: stop.signal });
    const ended = expect(first).rejects.toThrow('no more');
    const second = limiter.wait('drip', 'aborted', { maxWait: '1h' });
    stop.abort(new Error('no more'));
    await ended;
    expect((await second).allowed).toBe(true);
    await expect(limiter.wait('drip', 'x', { signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow(
      'before',
    );
  });

  it('is heard when it is called off while Redis is asked, and the charge comes back', async () => {
    using held = proxy.latency(300);
    const stop = new AbortController();
    const ran: string[] = [];
    const running = limiter.run('hour', 'held', () => ran.push('ran'), { signal: stop.signal });
    const ended = expect(running).rejects.toThrow('not wanted');
    await eventually(() => held.injected > 0);
    stop.abort(new Error('not wanted'));
    await ended;
    held.stop();
    expect(ran).toEqual([]);
    await eventually(async () => {
      expect((await limiter.peek('hour', 'held')).remaining).toBe(1);
    });
    expect(await redis.client().keys('test:ratelimit:{held}*')).toEqual([]);
  });

  it('is no part of who does not wait: small calls pass while a dear one waits for more', async () => {
    await limiter.consume('five', 'ann');
    const stop = new AbortController();
    const dear = limiter.wait('five', 'ann', { cost: 5, maxWait: '2h', signal: stop.signal });
    const ended = expect(dear).rejects.toThrow('enough');
    expect(await limiter.run('five', 'ann', () => 'ran')).toBe('ran');
    stop.abort(new Error('enough'));
    await ended;
  });

  it('ends when the application closes', async () => {
    const other = await startApp(redis.connection, { policies, budget: '5s' });
    const service = other.get(RateLimitService);
    await service.consume('hour', 'closing');
    const waiting = service.wait('hour', 'closing', { maxWait: '300d' });
    const ended = expect(waiting).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' });
    await service.peek('hour', 'closing'); // Its denial has arrived before.
    await other.close();
    await ended;
  });

  it('runs a function when its turn has come', async () => {
    expect(await limiter.run('hour', 'run', (signal) => Promise.resolve(signal.aborted))).toBe(false);
    const ran: string[] = [];
    await expect(limiter.run('hour', 'run', () => ran.push('twice'))).rejects.toBeInstanceOf(RateLimitExceededError);
    expect(ran).toEqual([]);
  });

  it('refuses wrong options by name', async () => {
    await expect(limiter.wait('hour', 'x', { maxWait: -1 })).rejects.toThrow('wait.maxWait');
    await expect(limiter.wait('hour', 'x', { cost: 1, ...{ timeout: 1 } })).rejects.toThrow('wait.timeout');
  });
});
