import { hashSlot, RedisConnections } from '@redstart/redis-core';
import { cluster, describeOn, FaultProxy, standalone } from '@redstart/redis-testing';
import { all, concurrency, createPolicies, gcra, RateLimitService, slidingWindow } from '../src/index.js';
import { startApp, type TestApp } from './test-app.js';

const policies = createPolicies({
  api: slidingWindow({ limit: 40, window: '1h' }),
  rate: gcra({ rate: 1_000, per: '1h' }),
  slots: concurrency({ limit: 2, lease: '1h' }),
  both: all(slidingWindow({ limit: 10, window: '1m' }), slidingWindow({ limit: 30, window: '1h' })),
});

describeOn(standalone, cluster)('calls of one tick', (redis) => {
  let app: TestApp;
  let limiter: RateLimitService;

  beforeAll(async () => {
    app = await startApp(redis.connection, { policies, budget: '10s' });
    limiter = app.get(RateLimitService);
  });
  afterAll(() => app.close());

  it('on one key are decided as if they came one after the other', async () => {
    const decisions = await Promise.all(Array.from({ length: 64 }, () => limiter.consume('api', 'hot')));
    expect(decisions.map(({ allowed }) => allowed)).toEqual(Array.from({ length: 64 }, (_, index) => index < 40));
    expect(decisions.map(({ remaining }) => remaining)).toEqual(
      Array.from({ length: 64 }, (_, index) => Math.max(0, 39 - index)),
    );
    expect(new Set(decisions.map(({ receipt }) => receipt)).size).toBe(41); // 40, and none
  });

  it('on one key are as exact when they are more than one script decides', async () => {
    const mixed = Array.from({ length: 1_500 }, (_, index) => (index % 3 === 0 ? ['rate', index] : ['rate', 'crowd']));
    const decisions = await Promise.all(mixed.map(([policy, key]) => limiter.consume(String(policy), String(key))));
    const crowd = decisions.filter((_, index) => index % 3 !== 0);
    expect(crowd.map(({ remaining }) => remaining)).toEqual(crowd.map((_, index) => 999 - index));
    const own = decisions.filter((_, index) => index % 3 === 0);
    expect(own.map(({ remaining }) => remaining)).toEqual(own.map(() => 999));
  });

  it('keep their order when they want different things', async () => {
    const [first, second, third, peeked] = await Promise.all([
      limiter.consume('rate', 'order', { cost: 10 }),
      limiter.consume('rate', 'order', { cost: 980 }),
      limiter.consume('rate', 'order', { cost: 20 }),
      limiter.peek('rate', 'other'),
    ]);
    expect([first, second, third].map(({ allowed, remaining }) => [allowed, remaining])).toEqual([
      [true, 990],
      [true, 10],
      [false, 10],
    ]);
    expect(peeked.remaining).toBe(1_000);
  });

  it('on many keys are kept apart', async () => {
    const decisions = await Promise.all(
      Array.from({ length: 200 }, (_, index) => limiter.consume('both', ['user', index % 50], { cost: 3 })),
    );
    const allowed = decisions.filter((decision) => decision.allowed).length;
    expect(allowed).toBe(150); // three each
    expect(decisions.filter(({ receipt }) => receipt === undefined)).toHaveLength(50);
  });

  it('do not suffer from one whose key holds something else', async () => {
    await redis.client().set('test:ratelimit:{odd}:api:sw-3600000-10', 'x');
    await redis.client().hset('test:ratelimit:{strange}:api:sw-3600000-10', { name: 'Ann' });
    const calls = ['odd', 'even', 'strange', 'last'].map((key) => limiter.consume('api', key));
    const [odd, even, strange, last] = await Promise.allSettled(calls);
    expect(odd).toMatchObject({ status: 'rejected', reason: { code: 'REDIS_COMMAND', reason: 'WRONGTYPE' } });
    expect(odd).toMatchObject({ reason: { message: expect.stringContaining('wrong kind of value') as unknown } });
    expect(strange).toMatchObject({ reason: { message: expect.stringContaining('something else') as unknown } });
    for (const outcome of [even, last]) {
      expect(outcome).toMatchObject({ status: 'fulfilled', value: { allowed: true, remaining: 39 } });
    }
  });

  it('do not suffer from a slot that never ends, wherever it stands', async () => {
    const ends = Date.now() * 1_000 + 1e9;
    const key = 'test:ratelimit:{endless}:slots:slots';
    await redis.client().zadd(key, ends, 'a', ends + 1, 'b', '+inf', 'c');
    const [endless, even] = await Promise.allSettled([
      limiter.acquire('slots', 'endless'),
      limiter.consume('api', 'beside'),
    ]);
    expect(even).toMatchObject({ status: 'fulfilled', value: { allowed: true } });
    expect(endless).toMatchObject({ status: 'rejected', reason: { code: 'RATE_LIMIT_EXCEEDED' } });
    expect(endless).toMatchObject({ reason: { decision: { remaining: 0 } } });
  });

  it('of several subjects are all charged, or none', async () => {
    await limiter.consume('api', 'all of us', { cost: 39 });
    const pair = (user: string) => [
      { policy: 'both', key: ['user', user] },
      { policy: 'api', key: 'all of us' },
    ];
    expect((await limiter.check(pair('ann'))).map(({ allowed }) => allowed)).toEqual([true, true]);
    const denied = await limiter.check(pair('bob'));
    expect(denied.at(-1)).toMatchObject({ policy: 'api', allowed: false });
    expect(denied.every(({ receipt }) => receipt === undefined)).toBe(true);
    expect((await limiter.peek('both', ['user', 'bob'])).limits.map(({ remaining }) => remaining)).toEqual([10, 30]);
    expect((await limiter.peek('both', ['user', 'ann'])).limits.map(({ remaining }) => remaining)).toEqual([9, 29]);
  });

  it('of several subjects are answered in the order in which they were asked', async () => {
    const checks = [...Array(10).keys()].map((index) => ({
      policy: index % 2 === 0 ? 'api' : 'rate',
      key: ['order', index % 5],
      cost: index + 1,
    }));
    const decisions = await limiter.check(checks);
    expect(decisions.map(({ policy, receipt }) => [policy, receipt?.cost, receipt?.key])).toEqual(
      checks.map(({ policy, key, cost }) => [policy, cost, key]),
    );
  });

  it('of several subjects are answered in their places, whatever a denial has made needless to ask', async () => {
    const key = (subject: string) => `test:ratelimit:{${subject}}`;
    const neighbour = (of: string, near: boolean) =>
      Array.from({ length: 100_000 }, (_, index) => `place ${index}`).find(
        (subject) => (hashSlot(key(subject)) === hashSlot(key(of))) === near,
      ) ?? '';
    const [here, there] = [neighbour('place', true), neighbour('place', false)];
    await limiter.consume('api', here, { cost: 40 });
    const { decisions, denial } = await limiter.admit([
      { policy: { name: 'rate' }, key: 'place', cost: 1 },
      { policy: { name: 'api' }, key: there, cost: 1 },
      { policy: { name: 'api' }, key: here, cost: 1 },
    ]);
    expect(decisions.map((decision) => decision?.allowed)).toEqual([
      true,
      redis.topology === 'cluster' ? undefined : true,
      false,
    ]);
    expect(denial).toBe(decisions[2]);
  });

  it('of several subjects stop at the first that denies', async () => {
    await limiter.consume('both', ['user', 'eve'], { cost: 10 });
    const decisions = await limiter.check([
      { policy: 'both', key: ['user', 'eve'] },
      { policy: 'rate', key: 'everybody' },
    ]);
    expect(decisions[0]).toMatchObject({ policy: 'both', allowed: false });
    expect((await limiter.peek('rate', 'everybody')).remaining).toBe(1_000);
  });
});

describeOn(standalone)('the commands of one turn of the event loop', (redis) => {
  let proxy: FaultProxy;
  let app: TestApp;
  let limiter: RateLimitService;

  beforeAll(async () => {
    proxy = await FaultProxy.start(redis.server);
    // Without denials to be remembered there is no channel to be listened to.
    app = await startApp({ url: proxy.url }, { policies, budget: '10s', deniedKeys: 0 });
    limiter = app.get(RateLimitService);
    // Redis knows the scripts, of both kinds together and of one: whatever has run before.
    await limiter.check([
      { policy: 'api', key: 'warm' },
      { policy: 'rate', key: 'up' },
    ]);
    await limiter.consume('api', 'warm');
  });
  beforeEach(() => {
    proxy.commands.clear();
  });
  afterAll(async () => {
    await app.close();
    await proxy.stop();
  });

  it('are one script, whatever the policies and keys', async () => {
    await Promise.all(
      Array.from({ length: 30 }, (_, index) => limiter.consume(index % 2 === 0 ? 'api' : 'rate', index % 20)),
    );
    expect(Object.fromEntries(proxy.commands)).toEqual({ EVALSHA: 1 });
    expect(app.get(RedisConnections).get('default').breakerState).toBe('closed');
  });

  it('are one script, though each call has a tick of its own, as requests over several connections have', async () => {
    const later = () =>
      new Promise((resolve, reject) => {
        process.nextTick(() => {
          limiter.consume('api', 'ticks').then(resolve, reject);
        });
      });
    await Promise.all([limiter.consume('api', 'ticks'), later(), later()]);
    expect(Object.fromEntries(proxy.commands)).toEqual({ EVALSHA: 1 });
  });

  it('are several scripts when they are very many, though all want the same: none holds Redis up', async () => {
    const decisions = await Promise.all(Array.from({ length: 3_000 }, () => limiter.consume('api', 'crowd')));
    expect(decisions.filter(({ allowed }) => allowed)).toHaveLength(40);
    expect(proxy.commands.get('EVALSHA')).toBeGreaterThanOrEqual(Math.ceil(3_000 / 512));
    expect(proxy.commands.get('EVALSHA')).toBeLessThan(30);
  });

  it('leave by halves when they are many, and what comes meanwhile stays behind those before it', async () => {
    const many = Promise.all(Array.from({ length: 100 }, (_, index) => limiter.consume('api', ['many', index])));
    await new Promise((resolve) => setImmediate(resolve)); // The first half has left.
    const [left, waiting] = await Promise.all([
      limiter.consume('api', ['many', 0]),
      limiter.consume('api', ['many', 99]),
    ]);
    expect((await many).map(({ remaining }) => remaining)).toEqual(Array.from({ length: 100 }, () => 39));
    expect([left, waiting].map(({ remaining }) => remaining)).toEqual([38, 38]);
    expect(Object.fromEntries(proxy.commands)).toEqual({ EVALSHA: 3 }); // 50, 32 and 20
  });
});
