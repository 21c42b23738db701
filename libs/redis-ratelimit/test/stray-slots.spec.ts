import { cluster, describeOn, eventually, FaultProxy, standalone } from '@redstart/redis-testing';
import { concurrency, createPolicies, RateLimitExceededError, RateLimitService, type OnError } from '../src/index.js';
import { startApp, type TestApp } from './test-app.js';

/** So long that nothing comes back by itself while a test runs. */
const lease = '1d';
const policies = createPolicies({
  local: concurrency({ limit: 1, lease, onError: 'local' }),
  open: concurrency({ limit: 1, lease, onError: 'open' }),
  closed: concurrency({ limit: 1, lease, onError: 'closed' }),
});
const everyOnError: readonly OnError[] = ['local', 'open', 'closed'];
const budget = '100ms';
/** Pauses of up to 2 s lie between the tries, and the breaker opens for longer with each. */
const roomy = { within: 20_000 };

describeOn(standalone, cluster)('slots that nobody holds', (redis) => {
  let app: TestApp;
  let limiter: RateLimitService;

  beforeEach(async () => {
    app = await startApp(redis.connection, { policies, budget });
    limiter = app.get(RateLimitService);
  });
  afterEach(() => app.close());

  const servers = () => (redis.topology === 'cluster' ? redis.cluster.servers : [redis.server]);
  const keyOf = (policy: string) => `test:ratelimit:{ann}:${policy}:slots`;
  /** On a busy machine the budget of the first call may be too short, which is what these tests are about; here it should not be. */
  const fromRedis = (policy: string) =>
    eventually(async () => {
      const slot = await limiter.acquire(policy, 'ann');
      if (slot.decision.decidedBy === 'redis') return slot;
      await slot.release();
      throw new Error('Redis did not answer within the budget.');
    }, roomy);

  it.each(everyOnError)(
    'come back as soon as Redis answers: those of a call that got its answer too late, under onError: %s',
    async (onError) => {
      await (await fromRedis(onError)).release();
      for (const server of servers()) server.pause();
      const late = await limiter.acquire(onError, 'ann').catch((error: unknown) => error);
      for (const server of servers()) server.resume();
      if (onError === 'closed') expect(late).toMatchObject({ code: 'REDIS_UNAVAILABLE' });
      else expect(late).toMatchObject({ decision: { decidedBy: onError } });
      const client = redis.client();
      await eventually(async () => {
        expect(await client.exists(keyOf(onError))).toBe(0);
      }, roomy);
      await (await fromRedis(onError)).release();
    },
    90_000,
  );

  it('come back as soon as Redis answers: those whose release was not heard', async () => {
    const slot = await fromRedis('local');
    for (const server of servers()) server.pause();
    const released = await slot.release();
    for (const server of servers()) server.resume();
    expect(released).toBe(false);
    const client = redis.client();
    await eventually(async () => {
      expect(await client.exists(keyOf('local'))).toBe(0);
    }, roomy);
  }, 90_000);
});

describeOn(standalone)('the slot of a call', (redis) => {
  it('comes back when its reply is lost in silence', async () => {
    await using proxy = await FaultProxy.start(redis.server);
    const app = await startApp({ url: proxy.url }, { policies, budget });
    try {
      const limiter = app.get(RateLimitService);
      // Taken and given back within the budget, so that nothing is on its way any more when the next script is sent.
      await eventually(async () => {
        const warm = await limiter.acquire('local', 'warm');
        expect([warm.decision.decidedBy, await warm.release()]).toEqual(['redis', true]);
      }, roomy);
      using lost = proxy.dropReply('EVALSHA');
      const slot = await limiter.acquire('local', 'ann');
      expect(slot.decision.decidedBy).toBe('local');
      // The budget may be over before Redis has answered at all.
      await eventually(() => {
        expect(lost.injected).toBe(1);
      });
      // It counts here until it is released, though no more there.
      await expect(limiter.acquire('local', 'ann')).rejects.toBeInstanceOf(RateLimitExceededError);
      await slot.release();
      const client = redis.client();
      await eventually(async () => {
        expect(await client.exists('test:ratelimit:{ann}:local:slots')).toBe(0);
      }, roomy);
    } finally {
      await app.close();
    }
  }, 90_000);

  it.each([
    ['full of unwritten data', 'min-replicas-to-write', '1', '0'],
    ['a replica', 'replicaof', '127.0.0.1 1', 'no one'],
  ])(
    'does not change what it returns when Redis, %s, refuses to take it back',
    async (_case, setting, value, after) => {
      const admin = redis.server.client();
      const set = (text: string) =>
        setting === 'replicaof' ? admin.call(setting, ...text.split(' ')) : admin.config('SET', setting, text);
      const app = await startApp(redis.connection, { policies, budget: '5s' });
      try {
        const limiter = app.get(RateLimitService);
        const result = await limiter.run('local', 'ann', async () => {
          await set(value);
          return 'done';
        });
        expect(result).toBe('done');
        await set(after);
        const client = redis.client();
        await eventually(async () => {
          expect(await client.exists('test:ratelimit:{ann}:local:slots')).toBe(0);
        }, roomy);
      } finally {
        await set(after);
        await app.close();
      }
    },
    90_000,
  );
});
