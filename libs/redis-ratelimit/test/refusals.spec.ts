import { Controller, Get } from '@nestjs/common';
import { RedisConnections, RedisUnavailableError } from '@redstart/redis-core';
import { describeOn, RedisServer, standalone } from '@redstart/redis-testing';
import {
  by,
  concurrency,
  createPolicies,
  fixedWindow,
  gcra,
  RateLimit,
  RateLimitService,
  slidingLog,
  slidingWindow,
  tokenBucket,
} from '../src/index.js';
import { startApp, type TestApp } from './test-app.js';

const policies = createPolicies({
  'sliding-window': slidingWindow({ limit: 3, window: '1h' }),
  'sliding-log': slidingLog({ limit: 3, window: '1h' }),
  'fixed-window': fixedWindow({ limit: 3, window: '1h' }),
  'token-bucket': tokenBucket({ capacity: 3, per: '1h' }),
  gcra: gcra({ rate: 3, per: '1h' }),
  slots: concurrency({ limit: 3 }),
  open: slidingWindow({ limit: 3, window: '1h', onError: 'open' }),
  closed: slidingWindow({ limit: 3, window: '1h', onError: 'closed' }),
});
const rates = ['sliding-window', 'fixed-window', 'token-bucket', 'gcra'] as const;

@Controller()
class Routes {
  @RateLimit('sliding-window', { key: by.ip() })
  @Get('local')
  local() {
    return 'local';
  }

  @RateLimit('closed', { key: by.ip() })
  @Get('closed')
  closed() {
    return 'closed';
  }
}

describe('when the memory of Redis is full, and it evicts nothing', () => {
  let server: RedisServer;
  let app: TestApp;
  let limiter: RateLimitService;
  let base: string;

  beforeAll(async () => {
    server = await RedisServer.start({ args: ['--maxmemory-policy', 'noeviction'] });
    app = await startApp({ url: server.url }, { policies, budget: '10s' }, { controllers: [Routes] });
    await app.listen(0, '127.0.0.1');
    base = await app.getUrl();
    limiter = app.get(RateLimitService);
  });
  beforeEach(async () => {
    for (const policy of rates) await limiter.consume(policy, 'known');
    await server.client().config('SET', 'maxmemory', '1');
  });
  afterEach(async () => {
    await server.client().config('SET', 'maxmemory', '0');
    await server.client().flushall();
  });
  afterAll(async () => {
    await app.close();
    await server.stop();
  });

  it.each(rates)(
    'a %s is counted as its policy says for an outage, and by Redis again as soon as there is room',
    async (kind) => {
      for (const subject of ['known', 'new']) {
        expect(await limiter.consume(kind, subject)).toMatchObject({ allowed: true, decidedBy: 'local' });
      }
      await server.client().config('SET', 'maxmemory', '0');
      expect(await limiter.consume(kind, 'known')).toMatchObject({ decidedBy: 'redis', remaining: 1 });
    },
  );

  it('a log and a slot are there all the same: once they have removed what has lapsed, Redis lets them finish', async () => {
    await using slot = await limiter.acquire('slots', 'new');
    expect(slot.decision.allowed).toBe(true);
    expect((await limiter.consume('sliding-log', 'new')).allowed).toBe(true);
  });

  it.each(rates)('a %s takes back what it has counted', async (kind) => {
    await server.client().config('SET', 'maxmemory', '0');
    const { receipt } = await limiter.consume(kind, 'known');
    await server.client().config('SET', 'maxmemory', '1');
    expect(receipt !== undefined && (await limiter.refund(receipt))).toBe(true);
    expect(await limiter.peek(kind, 'known')).toMatchObject({ decidedBy: 'redis', remaining: 2 });
  });

  it('an open policy lets through, and a closed one refuses', async () => {
    expect(await limiter.consume('open', 'new')).toMatchObject({ allowed: true, decidedBy: 'open' });
    await expect(limiter.consume('closed', 'new')).rejects.toThrow(RedisUnavailableError);
    expect((await fetch(`${base}/local`)).status).toBe(200);
    expect((await fetch(`${base}/closed`)).status).toBe(503);
  });

  it('Redis goes on to answer what writes nothing, so no breaker opens', async () => {
    for (let calls = 0; calls < 20; calls++) await limiter.consume('gcra', 'new');
    expect(await limiter.peek('gcra', 'known')).toMatchObject({ decidedBy: 'redis', remaining: 2 });
    expect(app.get(RedisConnections).get('default').breakerState).toBe('closed');
  });
});

describeOn(standalone)('a user of Redis who may not touch the keys of some subjects', (redis) => {
  let app: TestApp;
  let limiter: RateLimitService;

  beforeAll(async () => {
    const rules = ['on', '>secret', '+@all', '&*', '~test:ratelimit:{ours*'];
    await redis.client().call('ACL', 'SETUSER', 'narrow', ...rules);
    const { port } = redis.server;
    app = await startApp(
      { host: '127.0.0.1', port, username: 'narrow', password: 'secret' },
      { policies, budget: '10s' },
    );
    limiter = app.get(RateLimitService);
  });
  afterAll(async () => {
    await app.close();
    await redis.client().call('ACL', 'DELUSER', 'narrow');
  });

  it('is refused for those alone, though they are asked about in the same turn', async () => {
    const subjects = ['ours 1', 'theirs', 'ours 2', 'ours 1'];
    const outcomes = await Promise.allSettled(subjects.map((subject) => limiter.consume('gcra', subject)));
    expect(outcomes).toMatchObject([
      { status: 'fulfilled', value: { allowed: true, remaining: 2, decidedBy: 'redis' } },
      { status: 'rejected', reason: { code: 'REDIS_COMMAND', reason: 'NOPERM' } },
      { status: 'fulfilled', value: { allowed: true, remaining: 2 } },
      { status: 'fulfilled', value: { allowed: true, remaining: 1 } },
    ]);
    expect((await limiter.peek('gcra', 'ours 1')).remaining).toBe(1);
  });
});
