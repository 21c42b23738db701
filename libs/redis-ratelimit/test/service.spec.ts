import { cluster, describeOn, standalone } from '@redstart/redis-testing';
import {
  all,
  createPolicies,
  gcra,
  RateLimitService,
  slidingWindow,
  UnknownPolicyError,
  type StaticPolicy,
} from '../src/index.js';
import { compilePolicy } from '../src/policies/policy.js';
import { startApp, type TestApp } from './test-app.js';

const policies = createPolicies({
  api: slidingWindow({ limit: 3, window: '1m' }),
  login: all(slidingWindow({ limit: 2, window: '1m' }), slidingWindow({ limit: 10, window: '1h' })),
});

describeOn(standalone, cluster)('RateLimitService', (redis) => {
  let app: TestApp;
  let limiter: RateLimitService;

  beforeAll(async () => {
    app = await startApp(redis.connection, { policies, budget: '5s' });
    limiter = app.get(RateLimitService);
  });
  afterAll(() => app.close());

  it('counts down, denies with the time to wait, and keeps subjects apart', async () => {
    const remaining: number[] = [];
    for (let i = 0; i < 3; i++) remaining.push((await limiter.consume('api', 'ann')).remaining);
    expect(remaining).toEqual([2, 1, 0]);
    const denied = await limiter.consume('api', 'ann');
    expect(denied).toMatchObject({ allowed: false, limit: 3, remaining: 0, policy: 'api', decidedBy: 'redis' });
    expect(denied.receipt).toBeUndefined();
    // Less what has passed since the first one, on a machine that stalls.
    expect(denied.retryAfterMs).toBeGreaterThan(30_000);
    expect(denied.retryAfterMs).toBeLessThanOrEqual(66_000);
    expect((await limiter.consume('api', 'bob')).allowed).toBe(true);
  });

  it('says where it charged, in a key of the one form', async () => {
    const { receipt } = await limiter.consume('api', ['user', 42], { cost: 2 });
    expect(receipt).toMatchObject({
      policy: 'api',
      cost: 2,
      charges: [{ key: 'test:ratelimit:{user:42}:api:sw-60000-10' }],
    });
    const [charge] = receipt?.charges ?? [];
    const stored = await redis.client().hgetall(charge?.key ?? '');
    expect(stored).toEqual({ [charge?.mark ?? '']: '2' });
  });

  it('never lets through what costs more than the limit, and says so', async () => {
    expect(await limiter.consume('api', 'dear', { cost: 4 })).toMatchObject({
      allowed: false,
      retryAfterMs: Infinity,
      remaining: 3,
    });
  });

  it('peeks without counting', async () => {
    for (let i = 0; i < 5; i++) expect((await limiter.peek('api', 'peek')).remaining).toBe(3);
    expect((await limiter.peek('api', 'peek', { cost: 4 })).allowed).toBe(false);
    expect(await redis.client().exists('test:ratelimit:{peek}:api:sw-60000-10')).toBe(0);
  });

  it('decides all limits of a policy together', async () => {
    for (let i = 0; i < 5; i++) await limiter.consume('login', 'eve');
    const denied = await limiter.consume('login', 'eve');
    expect(denied.limits.map(({ name, allowed, remaining }) => [name, allowed, remaining])).toEqual([
      ['login/1m', false, 0],
      ['login/1h', true, 8],
    ]);
  });

  it('decides several policies of one call together, whatever their keys', async () => {
    await limiter.consume('login', 'team', { cost: 2 });
    const decisions = await limiter.check([
      { policy: 'api', key: 'team' },
      { policy: 'login', key: 'team' },
      { policy: 'api', key: 'other' },
    ]);
    expect(decisions.slice(0, 2).map(({ policy, allowed }) => [policy, allowed])).toEqual([
      ['api', true],
      ['login', false],
    ]);
    expect((await limiter.peek('api', 'team')).remaining).toBe(3);
    expect((await limiter.peek('api', 'other')).remaining).toBe(3);
    await expect(
      limiter.check([
        { policy: 'api', key: 'x' },
        { policy: 'api', key: 'x' },
      ]),
    ).rejects.toThrow('twice');
  });

  it('tells keys apart as Redis keys do, and takes those that are equal together', async () => {
    // 'a:b' is ['a', 'b'], and not ['a:b'].
    await limiter.check([
      { policy: 'api', key: 'a:b' },
      { policy: 'login', key: ['a:b'] },
    ]);
    expect((await limiter.peek('login', ['a:b'])).remaining).toBe(1);
    expect((await limiter.peek('login', 'a:b')).remaining).toBe(2);

    await limiter.consume('login', ['c', 'd'], { cost: 2 });
    const together = await limiter.check([
      { policy: 'api', key: 'c:d' },
      { policy: 'login', key: ['c', 'd'] },
    ]);
    expect(together.map(({ allowed }) => allowed)).toEqual([true, false]);
    expect((await limiter.peek('api', 'c:d')).remaining).toBe(3);
  });

  it('forgets on reset', async () => {
    await limiter.consume('login', 'ann', { cost: 2 });
    expect(await limiter.reset('login', 'ann')).toBe(true);
    expect((await limiter.peek('login', 'ann')).remaining).toBe(2);
    expect(await limiter.reset('login', 'ann')).toBe(false);
  });

  it('survives SCRIPT FLUSH', async () => {
    await limiter.consume('api', 'flushed');
    const client = redis.client();
    await ('nodes' in client
      ? Promise.all(client.nodes('master').map((node) => node.script('FLUSH')))
      : client.script('FLUSH'));
    expect((await limiter.consume('api', 'flushed')).remaining).toBe(1);
  });

  it('passes on what is no outage: another type at the key', async () => {
    await redis.client().set('test:ratelimit:{odd}:api:sw-60000-10', 'x');
    await expect(limiter.consume('api', 'odd')).rejects.toMatchObject({ code: 'REDIS_COMMAND' });
  });

  it('refuses unknown policies, wrong costs and empty keys', async () => {
    await expect(limiter.consume('nope', 'ann')).rejects.toThrow(
      new UnknownPolicyError('nope', ['api', 'login']).message,
    );
    for (const cost of [-1, 0.5, NaN, 2 ** 31 + 1]) {
      const error: unknown = await limiter.consume('api', 'ann', { cost }).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'RATE_LIMIT_INPUT', part: 'cost', response: { status: 400 } });
    }
    const other = { policy: 'login', key: 'ann' };
    for (const key of ['', [], '\ud800']) {
      for (const refused of [
        limiter.consume('api', key),
        limiter.peek('api', key),
        limiter.check([other, { policy: 'api', key }]),
        limiter.wait('api', key),
        limiter.run('api', key, () => 'ran'),
        limiter.penalize('api', key),
        limiter.block('api', key, '1m'),
        limiter.set('api', key, 1),
        limiter.reset('api', key),
      ]) {
        const error: unknown = await refused.catch((reason: unknown) => reason);
        expect(error).toMatchObject({
          code: 'RATE_LIMIT_INPUT',
          part: 'key',
          policy: 'api',
          response: { status: 400 },
        });
      }
    }
    await expect(limiter.check([{ ...other, ...{ costs: 5 } }])).rejects.toThrow('check[0].costs');
    expect(await limiter.check([])).toEqual([]);
    expect((await limiter.peek('login', 'ann')).remaining).toBe(2);
  });
});

describe('options', () => {
  it('tell limits of different kinds over the same time apart, and refuse two of one kind', () => {
    const hourly = gcra({ rate: 10, per: '1h' });
    const names = (policy: StaticPolicy) => compilePolicy('api', policy, 'local').limits.map(({ name }) => name);
    expect(
      names(all(slidingWindow({ limit: 5, window: '1h' }), hourly, slidingWindow({ limit: 1, window: '1m' }))),
    ).toEqual(['api/1h-sw', 'api/1h-gcra', 'api/1m']);
    expect(() => names(all(hourly, gcra({ rate: 5, per: '1h' })))).toThrow('two limits of one kind');
  });

  it('are refused by name when wrong', () => {
    expect(() => slidingWindow({ limit: 0, window: '1m' })).toThrow('slidingWindow.limit');
    expect(() => slidingWindow({ limit: 1.5, window: '1m' })).toThrow('slidingWindow.limit');
    expect(() => slidingWindow({ limit: 1, window: 0 })).toThrow('slidingWindow.window');
    expect(() => slidingWindow({ limit: 1, window: 1, buckets: 121 })).toThrow('slidingWindow.buckets');
    expect(() => slidingWindow({ limit: 1, window: 1, ...{ windw: 1 } })).toThrow('windw');
    expect(() => createPolicies({ 'a b': slidingWindow({ limit: 1, window: 1 }) })).toThrow('a b');
    expect(() => all(slidingWindow({ limit: 1, window: 1, onError: 'open' }))).toThrow('onError belongs to all');
  });

  it('cut a window into whole microseconds that cover it', () => {
    expect(slidingWindow({ limit: 1, window: 1, buckets: 120 })).toMatchObject({ bucketUs: 9, buckets: 112 });
    expect(slidingWindow({ limit: 1, window: 3 })).toMatchObject({ bucketUs: 300, buckets: 10 });
  });
});
