import { Controller, Get } from '@nestjs/common';
import { ApolloDriver, type ApolloDriverConfig } from '@nestjs/apollo';
import { GraphQLModule, Query, Resolver } from '@nestjs/graphql';
import type { Duration } from '@redstart/redis-core';
import { cluster, describeOn, eventually, FaultProxy, standalone } from '@redstart/redis-testing';
import { concurrency, createPolicies, RateLimit, RateLimitService, slidingWindow } from '../src/index.js';
import { startApp, type TestApp } from './test-app.js';

const policies = createPolicies({
  wide: slidingWindow({ limit: 1_000, window: '1h' }),
  narrow: slidingWindow({ limit: 2, window: '1h' }),
  closed: slidingWindow({ limit: 2, window: '1h', onError: 'closed' }),
  slots: concurrency({ limit: 1, lease: '1d' }),
});
/** Long enough to tell one from several, on a busy machine too. */
const budgetMs = 1_000;
const lessThanThree = 2.5 * budgetMs;

@Controller()
class LimitedController {
  @RateLimit('narrow', { key: () => 'client' })
  @Get()
  limited() {
    return 'limited';
  }

  @RateLimit('narrow', { key: () => 'denied' })
  @RateLimit('slots', { key: () => 'busy' })
  @Get('slot')
  slot() {
    return 'slot';
  }
}

@Resolver()
class LimitedResolver {
  @RateLimit('wide', { key: () => 'a' })
  @Query(() => String)
  a() {
    return 'a';
  }

  @RateLimit('wide', { key: () => 'b' })
  @Query(() => String)
  b() {
    return 'b';
  }

  @RateLimit('wide', { key: () => 'c' })
  @Query(() => String)
  c() {
    return 'c';
  }
}

async function took(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

describeOn(cluster)('limits of one call that live in different places', (redis) => {
  let app: TestApp;
  let limiter: RateLimitService;
  let url: string;

  const start = async (deniedKeys: number, budget: Duration = '5s') => {
    const global = ['wide'];
    app = await startApp(
      redis.connection,
      { policies, global, key: () => 'everybody', budget, deniedKeys },
      { controllers: [LimitedController] },
    );
    await app.listen(0, '127.0.0.1');
    url = await app.getUrl();
    limiter = app.get(RateLimitService);
  };
  afterEach(() => app.close());

  const status = async (path = '') => (await fetch(`${url}/${path}`)).status;

  async function scripts(): Promise<number> {
    const infos = await Promise.all(
      redis.cluster.servers.map((server) => server.ask((client) => client.info('commandstats'))),
    );
    const calls = infos.flatMap((info) => [...info.matchAll(/cmdstat_(?:evalsha|eval|publish|spublish):calls=(\d+)/g)]);
    return calls.reduce((sum, [, count]) => sum + Number(count), 0);
  }

  it('are asked from the most specific on: a denial there does not touch what all share', async () => {
    await start(0);
    expect([await status(), await status(), await status(), await status()]).toEqual([200, 200, 429, 429]);
    // Not even for a moment, after which it would have been given back.
    expect(limiter.stats()['wide']).toMatchObject({ allowed: 2, spared: 0, denied: 0 });
    expect((await limiter.peek('wide', 'everybody')).remaining).toBe(998);
  });

  it('cost nothing for who keeps knocking', async () => {
    await start(100);
    await status();
    await status();
    // The first denial makes the process listen; from then on it remembers.
    await eventually(async () => {
      await status();
      expect(limiter.stats()['narrow']?.remembered).toBeGreaterThan(0);
    });
    // For 5 s, after which it asks once: that may be in the middle of a try, and not of the next one.
    await eventually(async () => {
      const before = await scripts();
      for (let i = 0; i < 10; i++) expect(await status()).toBe(429);
      // Wherever the denial stands among them.
      const checks = await limiter.check([
        { policy: 'wide', key: 'everybody' },
        { policy: 'narrow', key: 'client' },
      ]);
      expect(checks).toMatchObject([{ policy: 'narrow', allowed: false }]);
      expect(await scripts()).toBe(before);
    });
    expect(limiter.stats()['wide']).toMatchObject({ allowed: 2, spared: 0 });
  });

  it('give back the slot of one where another denies', async () => {
    await start(0);
    await limiter.consume('narrow', 'denied', { cost: 2 });
    expect(await status('slot')).toBe(429);
    expect(await redis.client().exists('test:ratelimit:{busy}:slots:slots')).toBe(0);
    await limiter.reset('narrow', 'denied');
    expect(await status('slot')).toBe(200);
  });

  it('share one budget while no node answers', async () => {
    await start(0, budgetMs);
    const checks = ['k1', 'k2', 'k3', 'k4', 'k5'].map((key) => ({ policy: 'narrow', key }));
    await eventually(async () => {
      const warm = await limiter.check(checks.map((check) => ({ ...check, cost: 0 })));
      expect(warm.map(({ decidedBy }) => decidedBy)).toEqual(checks.map(() => 'redis'));
    });
    const { servers } = redis.cluster;
    for (const server of servers) server.pause();
    try {
      const decidedBy: string[] = [];
      const ms = await took(async () => {
        for (const decision of await limiter.check(checks)) decidedBy.push(decision.decidedBy);
      });
      expect(ms).toBeLessThan(lessThanThree);
      expect(decidedBy).toEqual(checks.map(() => 'local'));
    } finally {
      for (const server of servers) server.resume();
    }
  });
});

describeOn(standalone)('the resolvers of one operation', (redis) => {
  it('share one budget while Redis does not answer', async () => {
    await using proxy = await FaultProxy.start(redis.server);
    const app = await startApp(
      { url: proxy.url },
      { policies, budget: budgetMs },
      {
        imports: [GraphQLModule.forRoot<ApolloDriverConfig>({ driver: ApolloDriver, autoSchemaFile: true })],
        providers: [LimitedResolver],
      },
    );
    try {
      await app.listen(0, '127.0.0.1');
      const url = `${await app.getUrl()}/graphql`;
      const ask = async (query: string) => {
        const headers = { 'content-type': 'application/json' };
        const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ query }) });
        return answer.json();
      };
      const wide = () => app.get(RateLimitService).stats()['wide'] ?? { allowed: 0, fallback: 0 };
      const warm = await eventually(async () => {
        const { fallback } = wide();
        expect(await ask('{ a b c }')).toEqual({ data: { a: 'a', b: 'b', c: 'c' } });
        expect(wide().fallback).toBe(fallback);
        return wide();
      });
      using silence = proxy.blackhole();
      const ms = await took(async () => {
        expect(await ask('{ a b c }')).toEqual({ data: { a: 'a', b: 'b', c: 'c' } });
      });
      expect(ms).toBeLessThan(lessThanThree);
      expect(silence.injected).toBeGreaterThan(0);
      expect(wide()).toMatchObject({ allowed: warm.allowed + 3, fallback: warm.fallback + 3 });
    } finally {
      await app.close();
    }
  });
});
