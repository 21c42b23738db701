import {
  Controller,
  Get,
  Injectable,
  Module,
  Post,
  Scope,
  UseGuards,
  type CanActivate,
  type ExecutionContext,
  type INestApplication,
  type Type,
} from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { RedisModule } from '@redstart/redis-core';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import { Cluster } from 'ioredis';
import {
  all,
  by,
  createPolicies,
  LimitCalls,
  RateLimit,
  RateLimitGuard,
  RateLimitService,
  RedisRateLimitModule,
  SkipRateLimit,
  slidingWindow,
} from '../src/index.js';
import { silent } from './test-app.js';

const policies = createPolicies({
  everything: slidingWindow({ limit: 1_000, window: '1m' }),
  api: slidingWindow({ limit: 3, window: '1m' }),
  login: all(slidingWindow({ limit: 2, window: '1m' }), slidingWindow({ limit: 10, window: '1h' })),
  search: slidingWindow({ limit: 5, window: '500ms' }),
  details: slidingWindow({ limit: 5, window: '1m' }),
});

/** Finds the user where the header says: what an authentication guard does. */
@Injectable()
class UserGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const request: { headers: Record<string, string>; user?: { id: string } } = context.switchToHttp().getRequest();
    if (request.headers['x-user'] !== undefined) request.user = { id: request.headers['x-user'] };
    return true;
  }
}

abstract class Inherited {
  @RateLimit('api')
  @Get('inherited')
  inherited() {
    return 'inherited';
  }
}

@RateLimit('api')
@UseGuards(UserGuard)
@Controller('flights')
class FlightsController extends Inherited {
  @Get()
  list() {
    return 'list';
  }

  @RateLimit('api', { cost: 2 })
  @Get('dear')
  dear() {
    return 'dear';
  }

  @Get('below')
  @RateLimit('login', { key: by.user() })
  below() {
    return 'below';
  }

  @UseGuards(RateLimitGuard, RateLimitGuard)
  @Get('twice')
  twice() {
    return 'twice';
  }

  @SkipRateLimit()
  @Get('health')
  health() {
    return 'health';
  }

  @SkipRateLimit('api')
  @Get('partly')
  partly() {
    return 'partly';
  }
}

@Controller({ path: 'scoped', scope: Scope.REQUEST })
class ScopedController {
  @RateLimit({ limit: 1, window: '1h' }, { key: by.apiKey() })
  @Post('once')
  once() {
    return 'once';
  }

  @RateLimit('search', { key: ({ header }) => header('x-tenant'), cost: ({ header }) => Number(header('x-cost') ?? 1) })
  @Get('search')
  search() {
    return 'search';
  }
}

@Controller('open')
class OpenController {
  @Get()
  @LimitCalls('api', { key: () => 'calls' })
  async calls() {
    return Promise.resolve('calls');
  }

  @Get('free')
  free() {
    return 'free';
  }
}

@RateLimit('api', { cost: 3 })
@RateLimit('login')
abstract class Base {
  @Get('plain')
  plain() {
    return 'plain';
  }
}

@RateLimit('api', { cost: 2 })
@SkipRateLimit('login')
@Controller('derived')
class DerivedController extends Base {}

@Controller('several')
class SeveralController {
  @RateLimit('api', { cost: 2 })
  @RateLimit('api')
  @Get('dear-first')
  dearFirst() {
    return 1;
  }

  @RateLimit('api')
  @RateLimit('api', { cost: 2 })
  @Get('dear-last')
  dearLast() {
    return 1;
  }

  @RateLimit('api', { key: () => 'a:b' })
  @RateLimit('login', { key: () => ['a:b'] })
  @RateLimit('details', { key: () => ['a', 'b'] })
  @Get('keys')
  keys() {
    return 1;
  }
}

@Module({ controllers: [FlightsController, ScopedController, OpenController, DerivedController, SeveralController] })
class AppModule {}

const adapters: [string, () => ExpressAdapter | FastifyAdapter][] = [
  ['Express', () => new ExpressAdapter()],
  ['Fastify', () => new FastifyAdapter()],
];

describeOn(standalone, cluster)('limited routes', (redis) => {
  describe.each(adapters)('on %s', (_, adapter) => {
    let app: INestApplication;
    let url: string;

    const start = async (guards: Type[] = []) => {
      const testing = await Test.createTestingModule({
        imports: [
          RedisModule.forRoot({ namespace: 'test', ...redis.connection }),
          RedisRateLimitModule.forRoot({ policies, global: ['everything'], budget: '5s' }),
          AppModule,
        ],
        providers: guards.map((useClass) => ({ provide: APP_GUARD, useClass })),
      })
        .setLogger(silent)
        .compile();
      app = testing.createNestApplication(adapter());
      await app.listen(0, '127.0.0.1');
      url = await app.getUrl();
    };
    beforeAll(() => start());
    afterAll(() => app.close());

    const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
      fetch(`${url}${path}`, { method, headers });
    const fieldsOf = ({ headers }: Response) => [headers.get('ratelimit-policy'), headers.get('ratelimit')];

    it('tells the quota with every answer, and denies with a problem and the time to wait', async () => {
      const first = await get('/flights');
      expect([first.status, await first.text()]).toEqual([200, 'list']);
      const [policy, quota] = fieldsOf(first);
      expect(policy).toBe('"everything";q=1000;w=60, "api";q=3;w=60');
      expect(quota).toMatch(/^"everything";r=999;t=6\d, "api";r=2;t=6\d$/);
      expect(first.headers.get('retry-after')).toBeNull();

      await get('/flights');
      await get('/flights');
      const denied = await get('/flights');
      expect(denied.status).toBe(429);
      expect(denied.headers.get('content-type')).toContain('application/problem+json');
      // The minute and the rest of a bucket, less what has passed since it was counted: on a machine that stalls that may be seconds.
      expect(Number(denied.headers.get('retry-after'))).toBeGreaterThanOrEqual(30);
      expect(denied.headers.get('ratelimit')).toMatch(/"everything";r=997;t=[3-6]\d, "api";r=0;t=[3-6]\d$/);
      const problem: unknown = await denied.json();
      expect(problem).toMatchObject({
        status: 429,
        title: 'Too Many Requests',
        code: 'RATE_LIMIT_EXCEEDED',
        instance: '/flights',
        'violated-policies': ['api'],
      });
      // The denial charged nothing, the global limit of the same subject included.
      const { remaining } = await app.get(RateLimitService).peek('everything', ['ip', '127.0.0.1']);
      expect(remaining).toBe(997);
    });

    it('counts per user where authentication stands below, and per address otherwise', async () => {
      for (const user of ['ann', 'bob']) {
        expect(fieldsOf(await get('/flights', { 'x-user': user }))[1]).toContain('"api";r=2');
      }
      expect((await app.get(RateLimitService).peek('api', ['user', 'ann'])).remaining).toBe(2);
      expect((await app.get(RateLimitService).peek('api', ['ip', '127.0.0.1'])).remaining).toBe(3);
    });

    it('lets the method speak for the policy of its class, and counts a request once', async () => {
      expect(fieldsOf(await get('/flights/dear'))[1]).toContain('"api";r=1');
      expect((await get('/flights/twice')).status).toBe(200);
      expect((await app.get(RateLimitService).peek('api', ['ip', '127.0.0.1'])).remaining).toBe(0);
    });

    it('lets a class speak for the policies of its base class, and skip them', async () => {
      const [policy, quota] = fieldsOf(await get('/derived/plain'));
      expect(policy).toBe('"everything";q=1000;w=60, "api";q=3;w=60');
      expect(quota).toContain('"api";r=1');
    });

    it('takes the dearest of several limits of one policy and key', async () => {
      expect(fieldsOf(await get('/several/dear-first'))[1]).toContain('"api";r=1');
      await app.get(RateLimitService).reset('api', ['ip', '127.0.0.1']);
      expect(fieldsOf(await get('/several/dear-last'))[1]).toContain('"api";r=1');
    });

    it('counts where the service counts for the same key', async () => {
      expect((await get('/several/keys')).status).toBe(200);
      const limiter = app.get(RateLimitService);
      expect((await limiter.peek('api', ['a', 'b'])).remaining).toBe(2);
      expect((await limiter.peek('login', ['a:b'])).remaining).toBe(1);
      expect((await limiter.peek('login', 'a:b')).remaining).toBe(2);
      expect((await limiter.peek('details', 'a:b')).remaining).toBe(4);
    });

    it('limits an inherited handler once, and one whose decorator stands below the route', async () => {
      expect(fieldsOf(await get('/flights/inherited'))[1]).toContain('"api";r=2');
      const below = await get('/flights/below', { 'x-user': 'carl' });
      expect(below.headers.get('ratelimit-policy')).toContain('"login/1m";q=2;w=60, "login/1h";q=10;w=3600');
    });

    it('refuses a request without the identity it counts by, and counts nothing', async () => {
      const refused = await get('/flights/below');
      expect(refused.status).toBe(403);
      expect(await refused.json()).toMatchObject({ code: 'RATE_LIMIT_KEY_MISSING' });
      expect((await get('/scoped/search')).status).toBe(403);
      expect((await get('/scoped/once', {}, 'POST')).status).toBe(403);
    });

    it('leaves out what @SkipRateLimit names', async () => {
      expect(fieldsOf(await get('/flights/health'))).toEqual([null, null]);
      expect(fieldsOf(await get('/flights/partly'))[0]).toBe('"everything";q=1000;w=60');
    });

    it('limits request-scoped controllers by a policy of their own, and keeps the key secret', async () => {
      const headers = { 'x-api-key': 'secret-of-ann' };
      expect((await get('/scoped/once', headers, 'POST')).status).toBe(201);
      const denied = await get('/scoped/once', headers, 'POST');
      expect(denied.status).toBe(429);
      expect(denied.headers.get('ratelimit-policy')).toContain('"ScopedController.once";q=1;w=3600');
      expect((await get('/scoped/once', { 'x-api-key': 'another' }, 'POST')).status).toBe(201);
      const client = redis.client();
      await client.ping(); // so that a Cluster knows its nodes
      const nodes = client instanceof Cluster ? client.nodes('master') : [client];
      const keys = (await Promise.all(nodes.map((node) => node.keys('*')))).flat();
      expect(keys.filter((key) => key.includes('once'))).toHaveLength(2);
      expect(keys.join()).not.toContain('secret');
    });

    it('takes what the cost function says, and tells no Retry-After when waiting does not help', async () => {
      const tenant = { 'x-tenant': 'acme' };
      const taken = await get('/scoped/search', { ...tenant, 'x-cost': '4' });
      expect(taken.headers.get('ratelimit')).toContain('"search";r=1');
      expect(taken.headers.get('ratelimit-policy')).toMatch(/"search";q=5$/); // no w: below a second
      const never = await get('/scoped/search', { ...tenant, 'x-cost': '6' });
      expect([never.status, never.headers.get('retry-after')]).toEqual([429, null]);
      const soon = await get('/scoped/search', { 'x-tenant': 'fast', 'x-cost': '5' });
      expect(soon.status).toBe(200);
      // On a machine that stalls the half second may be over, and the next one is taken.
      await eventually(async () => {
        const denied = await get('/scoped/search', { 'x-tenant': 'fast', 'x-cost': '5' });
        expect([denied.status, denied.headers.get('retry-after')]).toEqual([429, '1']);
      });
    });

    it('applies global policies to routes without limits, and answers 429 for @LimitCalls too', async () => {
      expect(fieldsOf(await get('/open/free'))[0]).toBe('"everything";q=1000;w=60');
      for (let i = 0; i < 3; i++) expect((await get('/open')).status).toBe(200);
      const denied = await get('/open');
      expect(denied.status).toBe(429);
      expect(denied.headers.get('ratelimit')).toMatch(/^"api";r=0;t=[3-6]\d$/);
    });

    it('counts a request once when the guard is registered for the application as well', async () => {
      await app.close();
      await start([RateLimitGuard]);
      const answers = await Promise.all(Array.from({ length: 10 }, () => get('/flights/twice')));
      expect(answers.filter(({ status }) => status === 200)).toHaveLength(3);
      expect((await app.get(RateLimitService).peek('everything', ['ip', '127.0.0.1'])).remaining).toBe(997);
    });
  });
});
