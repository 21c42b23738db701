import {
  Controller,
  Get,
  Injectable,
  Module,
  UseGuards,
  type CanActivate,
  type ExecutionContext,
} from '@nestjs/common';
import type { INestApplication, LoggerService } from '@nestjs/common';
import { ExpressAdapter, type NestExpressApplication } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { RedisModule } from '@redstart/redis-core';
import { describeOn, standalone } from '@redstart/redis-testing';
import { request as httpRequest } from 'node:http';
import {
  by,
  createPolicies,
  ipIn,
  RateLimit,
  RateLimitGuard,
  RateLimitService,
  RedisRateLimitModule,
  slidingWindow,
  userIn,
  type RateLimitOptions,
} from '../src/index.js';
import { silent } from './test-app.js';

const policies = createPolicies({
  api: slidingWindow({ limit: 10, window: '1m' }),
  guests: slidingWindow({ limit: 2, window: '1m' }),
  'big/one.two_3-4': slidingWindow({ limit: 10, window: '1m' }),
});

@Injectable()
class UserGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const request: { headers: Record<string, string>; user?: { id: string } } = context.switchToHttp().getRequest();
    if (request.headers['x-user'] !== undefined) request.user = { id: request.headers['x-user'] };
    return true;
  }
}

/** How often a key function has run. */
let asked = 0;

@UseGuards(UserGuard)
@Controller()
class AppController {
  @RateLimit('api', { key: by.ip() })
  @Get('ip')
  ip() {
    return 'ip';
  }

  @RateLimit('api', { key: by.all(by.user(), by.header('x-device')) })
  @Get('device')
  device() {
    return 'device';
  }

  @RateLimit('api', { key: by.user(), anonymous: { policy: 'guests', key: by.ip() } })
  @Get('guests')
  guests() {
    return 'guests';
  }

  @RateLimit('api', { key: by.user() })
  @Get('user')
  user() {
    return 'user';
  }

  @RateLimit('api', { key: by.ip(), skip: userIn('crawler', 7) })
  @RateLimit('guests', { key: by.ip(), skip: async ({ header }) => Promise.resolve(header('x-skip') === 'no') })
  @Get('skips')
  skips() {
    return 'skips';
  }

  @RateLimit('api', { key: by.header('x-any'), cost: ({ header }) => Number(header('x-cost') ?? 1) })
  @Get('any')
  any() {
    return 'any';
  }

  @RateLimit('big/one.two_3-4', { key: ({ header }) => JSON.parse(header('x-key') ?? 'null') as string })
  @Get('json')
  json() {
    return 'json';
  }

  @UseGuards(RateLimitGuard, RateLimitGuard)
  @RateLimit('api', {
    key: (context) => {
      asked++;
      return by.ip()(context);
    },
  })
  @Get('asked')
  asked() {
    return 'asked';
  }

  @Get('open')
  open() {
    return 'open';
  }
}

@Module({ controllers: [AppController] })
class AppModule {}

const frameworks = ['Express', 'Fastify'] as const;

describeOn(standalone)('requests', (redis) => {
  let app: INestApplication | undefined;
  let url = '';
  const warnings: string[] = [];
  const logger: LoggerService = { ...silent, warn: (message: unknown) => warnings.push(String(message)) };

  beforeEach(async () => {
    warnings.length = 0;
    await redis.flush();
  });
  afterEach(async () => {
    await app?.close();
    app = undefined;
  });

  const start = async (
    framework: (typeof frameworks)[number],
    options: Partial<RateLimitOptions> = {},
    { trust, cors = false }: { trust?: boolean | number | string; cors?: boolean } = {},
  ) => {
    const testing = await Test.createTestingModule({
      imports: [
        RedisModule.forRoot({ namespace: 'test', ...redis.connection }),
        RedisRateLimitModule.forRoot({ policies, budget: '5s', ...options }),
        AppModule,
      ],
    })
      .setLogger(logger)
      .compile();
    if (framework === 'Express') {
      const express = testing.createNestApplication<NestExpressApplication>(new ExpressAdapter());
      if (trust !== undefined) express.set('trust proxy', trust);
      app = express;
    } else {
      const http = { maxHeaderSize: 64_000 };
      const trustProxy = typeof trust === 'number' ? undefined : trust;
      const adapter = new FastifyAdapter(trustProxy === undefined ? { http } : { http, trustProxy });
      app = testing.createNestApplication(adapter);
    }
    if (cors) app.enableCors({ origin: 'https://shop.example', exposedHeaders: ['X-Total', 'RateLimit'] });
    await app.listen(0, '127.0.0.1');
    url = await app.getUrl();
  };
  const get = (path: string, headers: Record<string, string> = {}) => fetch(`${url}${path}`, { headers });
  const statusOf = async (path: string, headers: Record<string, string> = {}) => (await get(path, headers)).status;
  const remaining = async (policy: string, key: string | (string | number)[]) =>
    (await app?.get(RateLimitService).peek(policy, key))?.remaining;

  describe.each(frameworks)('on %s', (framework) => {
    const forwarded = { 'x-forwarded-for': '203.0.113.9, 198.51.100.7' };

    it('counts by the address that the framework trusts, and says nothing when that is set up', async () => {
      await start(framework, {}, { trust: 'loopback, 198.51.100.0/24' });
      await get('/ip', forwarded);
      expect(await remaining('api', ['ip', '203.0.113.9'])).toBe(9);
      expect(warnings).toEqual([]);
    });

    it('warns once when somebody is behind a proxy and no proxy is trusted', async () => {
      await start(framework);
      await get('/ip');
      expect(warnings).toEqual([]);
      await get('/ip', forwarded);
      await get('/ip', forwarded);
      expect(await remaining('api', ['ip', '127.0.0.1'])).toBe(7);
      expect(warnings).toEqual([expect.stringContaining('X-Forwarded-For')]);
      expect(warnings[0]).toContain('is off');
    });

    it('warns once when every proxy is trusted', async () => {
      await start(framework, {}, { trust: true });
      await get('/ip', forwarded);
      await get('/ip');
      expect(warnings).toEqual([expect.stringContaining('trusts every proxy')]);
    });

    it('counts a combination of identities, and refuses a request that lacks one of them', async () => {
      await start(framework);
      await get('/device', { 'x-user': 'ann', 'x-device': 'd1' });
      await get('/device', { 'x-user': 'ann', 'x-device': 'd2' });
      expect(await remaining('api', ['user:ann', 'header:x-device:d1'])).toBe(9);
      expect(await statusOf('/device', { 'x-user': 'ann' })).toBe(403);
    });

    it('treats requests without identity as anonymous says', async () => {
      await start(framework);
      expect(await statusOf('/guests', { 'x-user': 'ann' })).toBe(200);
      expect(await statusOf('/guests')).toBe(200);
      expect(await statusOf('/guests')).toBe(200);
      const denied = await get('/guests');
      expect(denied.status).toBe(429);
      expect(await denied.json()).toMatchObject({ 'violated-policies': ['guests'] });
      expect(await remaining('api', ['user', 'ann'])).toBe(9);
    });

    it('counts all requests without identity together where the module wants that', async () => {
      await start(framework, { anonymous: {} });
      expect(await statusOf('/user')).toBe(200);
      expect(await statusOf('/any')).toBe(200);
      expect(await remaining('api', 'anonymous')).toBe(8);
    });

    it('lets through and does not count what is allowed or skipped, and waits for the answer', async () => {
      await start(framework, {
        allow: [ipIn('10.0.0.0/8'), async ({ header }) => Promise.resolve(header('x-friend') === 'yes')],
        skip: async ({ header }) => Promise.resolve(header('x-internal') === 'yes'),
      });
      for (const headers of [{ 'x-friend': 'yes' }, { 'x-internal': 'yes' }] as Record<string, string>[]) {
        const answer = await get('/ip', headers);
        expect([answer.status, answer.headers.get('ratelimit')]).toEqual([200, null]);
      }
      await get('/ip', { 'x-friend': 'no', 'x-internal': 'no' });
      expect(await remaining('api', ['ip', '127.0.0.1'])).toBe(9);
    });

    it('leaves out the limits that their own skip names, and no others', async () => {
      await start(framework);
      await get('/skips', { 'x-user': 'crawler' });
      expect(await remaining('api', ['ip', '127.0.0.1'])).toBe(10);
      expect(await remaining('guests', ['ip', '127.0.0.1'])).toBe(1);
      await get('/skips', { 'x-skip': 'no' });
      expect(await remaining('api', ['ip', '127.0.0.1'])).toBe(9);
      expect(await remaining('guests', ['ip', '127.0.0.1'])).toBe(1);
    });

    it('refuses what is denied, also at routes without limits and when it is allowed too', async () => {
      await start(framework, { deny: [ipIn('127.0.0.1')], allow: [() => true] });
      for (const path of ['/ip', '/open']) {
        const denied = await get(path);
        expect(denied.status).toBe(403);
        expect(denied.headers.get('content-type')).toContain('application/problem+json');
        expect(await denied.json()).toMatchObject({ status: 403, title: 'Forbidden', code: 'REQUEST_DENIED' });
      }
      expect(await remaining('api', ['ip', '127.0.0.1'])).toBe(10);
    });

    it('asks for the key once, however many guards a request passes', async () => {
      asked = 0;
      await start(framework, { global: ['guests'] });
      expect(await statusOf('/asked')).toBe(200);
      expect(asked).toBe(1);
      expect(await remaining('api', ['ip', '127.0.0.1'])).toBe(9);
    });

    it('limits what global names, by the key and cost that stand there', async () => {
      await start(framework, { global: [{ policy: 'guests', key: by.header('x-any'), cost: 2 }] });
      expect(await statusOf('/open', { 'x-any': 'a' })).toBe(200);
      expect(await statusOf('/open', { 'x-any': 'a' })).toBe(429);
      expect(await statusOf('/open')).toBe(403);
    });

    it('sends legacy fields, partition keys and what other origins may read, as asked', async () => {
      const partitionKeySecret = 'sixteen or more characters';
      await start(framework, { headers: { legacy: true, partitionKeySecret } }, { cors: true });
      const origin = { origin: 'https://shop.example' };
      const answer = await get('/any', { ...origin, 'x-any': 'ann' });
      expect(answer.headers.get('x-ratelimit-limit')).toBe('10');
      expect(answer.headers.get('x-ratelimit-remaining')).toBe('9');
      expect(Number(answer.headers.get('x-ratelimit-reset'))).toBeGreaterThanOrEqual(60);
      expect(answer.headers.get('access-control-expose-headers')).toBe(
        'X-Total, RateLimit, RateLimit-Policy, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset',
      );
      const pkOf = ({ headers }: Response) => /;pk=(:[A-Za-z0-9+/=]+:)/.exec(headers.get('ratelimit') ?? '')?.[1];
      expect(pkOf(answer)).toMatch(/^:.{12}:$/);
      expect(pkOf(await get('/any', { 'x-any': 'ann' }))).toBe(pkOf(answer));
      expect(pkOf(await get('/any', { 'x-any': 'bob' }))).not.toBe(pkOf(answer));
      const denied = await get('/any', { ...origin, 'x-any': 'ann', 'x-cost': '9' });
      expect(denied.status).toBe(429);
      expect(denied.headers.get('access-control-expose-headers')).toContain(', Retry-After');
      expect(denied.headers.get('x-ratelimit-remaining')).toBe('8');
    });

    it('sends none where none are wanted, but always the time to wait', async () => {
      await start(framework, { headers: false }, { cors: true });
      const origin = { origin: 'https://shop.example' };
      const answer = await get('/any', { 'x-any': 'ann', ...origin });
      expect([answer.headers.get('ratelimit'), answer.headers.get('ratelimit-policy')]).toEqual([null, null]);
      expect(answer.headers.get('access-control-expose-headers')?.split(/, ?/)).toEqual(['X-Total', 'RateLimit']);
      const denied = await get('/any', { 'x-any': 'ann', 'x-cost': '10' });
      expect(denied.headers.get('ratelimit')).toBeNull();
      expect(Number(denied.headers.get('retry-after'))).toBeGreaterThan(0);
    });

    it('answers 400 to a cost that is none, and counts nothing', async () => {
      await start(framework);
      for (const cost of ['-1', '1.5', 'NaN', '1e99', 'Infinity']) {
        const refused = await get('/any', { 'x-any': 'ann', 'x-cost': cost });
        expect([cost, refused.status]).toEqual([cost, 400]);
        expect(await refused.json()).toMatchObject({ code: 'RATE_LIMIT_INPUT' });
      }
      expect(await remaining('api', ['header', 'x-any', 'ann'])).toBe(10);
    });

    it('answers 400 to a key that is none', async () => {
      await start(framework);
      for (const key of ['{}', '[]', '[null]', 'true', '{"a":1}', '[["a"]]', String.raw`"\ud800"`]) {
        expect([key, await statusOf('/json', { 'x-key': key })]).toEqual([key, 400]);
      }
    });

    it('counts whatever text a key is: braces, controls, separators, and more than fits', async () => {
      await start(framework);
      const keys = ['{a}', '}{', 'a:b', 'a%7B', String.raw`a\r\nSet-Cookie: x`, 'x'.repeat(8_000), '\u2028', 'ä'];
      for (const key of keys) {
        const escaped = JSON.stringify(key).replace(
          /[^ -~]/g,
          (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
        );
        const answer = await get('/json', { 'x-key': escaped });
        expect(answer.status).toBe(200);
        expect(answer.headers.get('ratelimit')).toMatch(/^"big\/one\.two_3-4";r=9;t=6\d$/);
      }
    });
  });

  it('does not warn of a number of proxies, which Express knows', async () => {
    await start('Express', {}, { trust: 2 });
    await get('/ip', { 'x-forwarded-for': '203.0.113.9, 198.51.100.7' });
    expect(warnings).toEqual([]);
    expect(await remaining('api', ['ip', '203.0.113.9'])).toBe(9);
  });

  it('hashes a header of 1 MB', async () => {
    const { createServer } = await import('node:http');
    const testing = await Test.createTestingModule({
      imports: [
        RedisModule.forRoot({ namespace: 'test', ...redis.connection }),
        RedisRateLimitModule.forRoot({ policies, budget: '5s' }),
        AppModule,
      ],
    })
      .setLogger(logger)
      .compile();
    app = testing.createNestApplication(new ExpressAdapter());
    await app.init();
    const handle: unknown = app.getHttpAdapter().getInstance();
    if (typeof handle !== 'function') throw new TypeError('Express is a function.');
    const server = createServer({ maxHeaderSize: 2_000_000 }, (request, response) => {
      Reflect.apply(handle, undefined, [request, response]);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      const status = await new Promise((resolve, reject) => {
        const headers = { 'x-any': 'x'.repeat(1_000_000) };
        httpRequest({ host: '127.0.0.1', port, path: '/any', headers, agent: false }, (answer) => {
          answer.resume();
          resolve(answer.statusCode);
        })
          .on('error', reject)
          .end();
      });
      expect(status).toBe(200);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });
});
