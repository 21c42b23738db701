import {
  Body,
  Controller,
  Delete,
  Get,
  Header,
  Headers,
  HttpCode,
  Injectable,
  NotFoundException,
  Param,
  Post,
  Query,
  Res,
  StreamableFile,
  UseGuards,
  UseInterceptors,
  type CallHandler,
  type CanActivate,
  type ExecutionContext,
  type INestApplication,
  type NestInterceptor,
} from '@nestjs/common';
import { APP_INTERCEPTOR } from '@nestjs/core';
import { describeOn, eventually, standalone } from '@redstart/redis-testing';
import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { map, of, type Observable } from 'rxjs';
import { CacheEvict, HttpCache } from '../src/index.js';
import { gate, type Gate } from './app.js';
import { frameworks, startHttp } from './http-app.js';

/** What handlers have to do with a response on either platform. */
interface Reply {
  status(code: number): unknown;
  header(name: string, value: string): unknown;
}

/** How often each handler has run. */
const calls = new Map<string, number>();
const count = (name: string): number => {
  const now = (calls.get(name) ?? 0) + 1;
  calls.set(name, now);
  return now;
};
let slow: Gate<string> | undefined;
let failing = false;

@Injectable()
class KeyGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const request: { headers: Record<string, string>; user?: { id: string } } = context.switchToHttp().getRequest();
    if (request.headers['x-key'] !== undefined) request.user = { id: request.headers['x-key'] };
    return request.headers['x-key'] !== 'nobody';
  }
}

/** Takes what is not for clients' eyes out of objects, as a serializer does that knows the class. */
@Injectable()
class HideSecrets implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(map((body: unknown) => (body instanceof Account ? { id: body.id } : body)));
  }
}

class Account {
  constructor(
    readonly id: number,
    readonly secret: string,
  ) {}
}

interface Authenticated {
  readonly headers: Record<string, string | undefined>;
}

@Controller('flights')
class FlightsController {
  @HttpCache({ ttl: '1h', tags: ['flights'], resultTags: (flight: { id: string }) => [['flight', flight.id]] })
  @Get('one/:id')
  one(@Param('id') id: string, @Query() query: Record<string, string>): object {
    return { id, query, call: count('one') };
  }

  @Get('below')
  @Header('x-kind', 'static')
  @HttpCache()
  below(): Observable<string> {
    return of('a', `text ${count('below')}`);
  }

  @HttpCache({ vary: ['Accept-Language', 'x-tenant'] })
  @Get('vary')
  vary(@Headers('accept-language') language = 'none'): object {
    return { language, call: count('vary') };
  }

  @HttpCache({ query: ['page', 'sort'] })
  @Get('query')
  query(@Query('page') page: string): object {
    return { page, call: count('query') };
  }

  @HttpCache<Authenticated>({ varyBy: ({ headers }) => headers['authorization'] })
  @Get('mine')
  mine(@Headers('authorization') who = 'nobody'): object {
    return { who, call: count('mine') };
  }

  @HttpCache()
  @Get('shared')
  shared(): object {
    return { call: count('shared') };
  }

  @HttpCache()
  @UseGuards(KeyGuard)
  @Get('guarded')
  guarded(): object {
    return { call: count('guarded') };
  }

  @HttpCache()
  @UseInterceptors(HideSecrets)
  @Get('account')
  account(): Account {
    return new Account(count('account'), 'do not tell');
  }

  @HttpCache()
  @Get('plain-account')
  plainAccount(): Account {
    return new Account(count('plain-account'), 'do not tell');
  }

  @HttpCache({ staleIfError: '1h', tags: ['soft'], cacheControl: 'public' })
  @Get('soft')
  async soft(@Res({ passthrough: true }) reply: Reply): Promise<object> {
    const call = count('soft');
    const text = await slow?.opened;
    if (slow === undefined) reply.header('x-call', `${call}`);
    return { text, call };
  }

  @HttpCache({ etag: 'strong', cacheControl: 'public, max-age=60' })
  @Get('reply')
  reply(@Res({ passthrough: true }) reply: Reply, @Query('set') set = ''): object {
    for (const header of set.split('|')) {
      const [name = '', value = ''] = header.split('=', 2);
      if (name === 'status') reply.status(Number(value));
      else if (name !== '') reply.header(name, header.slice(name.length + 1));
    }
    return { call: count(`reply ${set}`) };
  }

  @HttpCache()
  @HttpCode(203)
  @Get('code')
  code(): string {
    return `call ${count('code')}`;
  }

  @HttpCache()
  @Get('nothing')
  nothing(): void {
    count('nothing');
  }

  @HttpCache()
  @Get('number')
  number(): number {
    return count('number');
  }

  @HttpCache()
  @Get('file')
  file(): StreamableFile {
    return new StreamableFile(Readable.from([`file ${count('file')}`]));
  }

  @HttpCache()
  @Get('missing')
  missing(): never {
    throw new NotFoundException(`call ${count('missing')}`);
  }

  @HttpCache({ staleIfError: '1h', tags: ['failing'] })
  @Get('failing')
  failing(): object {
    if (failing) throw new Error('down');
    return { call: count('failing') };
  }

  @HttpCache()
  @Get('slow')
  async slow(): Promise<object> {
    const call = count('slow');
    return { text: (await slow?.opened) ?? '', call };
  }

  @HttpCache({ unless: (body: { empty: boolean }) => body.empty, condition: ({ url }) => !url.includes('live') })
  @Get('choosy')
  choosy(@Query('empty') empty?: string): object {
    return { empty: empty === 'yes', call: count('choosy') };
  }

  @HttpCache({ requestDirectives: 'heed' })
  @Get('heed')
  heed(): object {
    return { call: count('heed') };
  }

  @HttpCache({ etag: false, cacheControl: false })
  @Get('plain')
  plain(): string {
    return `plain ${count('plain')}`;
  }

  @Get('open')
  open(): object {
    return { call: count('open') };
  }

  @CacheEvict({ tags: (id: string) => [['flight', id]] })
  @Delete('one/:id')
  async remove(@Param('id') _id: string): Promise<void> {}

  @Post('one')
  add(@Body() body: object): object {
    return body;
  }
}

beforeEach(() => {
  calls.clear();
  failing = false;
  slow = undefined;
});

describe.each(frameworks)('@HttpCache on %s', (framework) => {
  describeOn(standalone)('on a server', (redis) => {
    const start = (near = false) =>
      startHttp(framework, redis.connection, { controllers: [FlightsController] }, { near });

    it.each([false, true])(
      'answers the second request as it did the first, without the handler (near tier: %s)',
      async (near) => {
        await using http = await start(near);
        const first = await http.get('/flights/one/BA1?day=2');
        const second = await http.get('/flights/one/BA1?day=2');
        expect(first).toMatchObject({ status: 200, cache: 'fwd=uri-miss' });
        expect(second).toMatchObject({ status: 200, cache: 'hit', text: first.text });
        expect(JSON.parse(second.text)).toEqual({ id: 'BA1', query: { day: '2' }, call: 1 });
        for (const name of ['content-type', 'content-length', 'etag', 'cache-control']) {
          expect(second.headers.get(name)).toBe(first.headers.get(name));
        }
        expect(second.headers.get('content-type')).toBe('application/json; charset=utf-8');
        expect(second.headers.get('etag')).toMatch(/^W\/"[\w-]{27}"$/);
        expect(second.headers.get('cache-control')).toBe('no-cache');
        expect(second.headers.get('age')).toMatch(/^\d+$/);
        expect(first.headers.get('age')).toBeNull();
        expect(await http.get('/flights/one/BA1?day=3')).toMatchObject({ cache: 'fwd=uri-miss' });
        expect(await http.get('/flights/one/BA2?day=2')).toMatchObject({ cache: 'fwd=uri-miss' });
        const [key] = await redis.client().keys('shop:cache:http:*BA1?day=2}');
        expect(key).toMatch(
          /^shop:cache:http:\{FlightsController:one:http%3A\/\/127\.0\.0\.1%3A\d+:\/flights\/one\/BA1\?day=2\}$/,
        );
      },
    );

    it('says 304 to whoever has the response already', async () => {
      await using http = await start();
      const first = await http.get('/flights/shared');
      const etag = first.headers.get('etag') ?? '';
      const known = [etag, `"other", ${etag}`, etag.replace('W/', ''), '*'];
      for (const tag of known) {
        const again = await http.get('/flights/shared', { 'if-none-match': tag });
        expect(again).toMatchObject({ status: 304, text: '', cache: 'hit' });
        expect(again.headers.get('etag')).toBe(etag);
        expect(again.headers.get('cache-control')).toBe('no-cache');
      }
      expect(await http.get('/flights/shared', { 'if-none-match': 'W/"other"' })).toMatchObject({ status: 200 });
      // Also where the handler has just run.
      await http.cache.namespace('http').clear();
      const repeated = await http.get('/flights/below');
      await http.cache.namespace('http').clear();
      calls.set('below', 0);
      const conditional = { 'if-none-match': repeated.headers.get('etag') ?? '' };
      expect(await http.get('/flights/below', conditional)).toMatchObject({ status: 304, cache: 'fwd=uri-miss' });
    });

    it('goes by Last-Modified where there is no If-None-Match', async () => {
      await using http = await start();
      const date = 'Sat, 21 Nov 2026 10:00:00 GMT';
      const path = `/flights/reply?set=${encodeURIComponent(`last-modified=${date}`)}`;
      const { headers } = await http.get(path);
      expect(headers.get('last-modified')).toBe(date);
      expect(headers.get('etag')).toMatch(/^"[\w-]{27}"$/);
      const since = (value: string, more: object = {}) => http.get(path, { 'if-modified-since': value, ...more });
      expect(await since(date)).toMatchObject({ status: 304, text: '' });
      expect(await since('Sat, 21 Nov 2026 10:00:01 GMT')).toMatchObject({ status: 304 });
      expect(await since('Sat, 21 Nov 2026 09:59:59 GMT')).toMatchObject({ status: 200, cache: 'hit' });
      expect(await since('1')).toMatchObject({ status: 200 });
      expect(await since(date, { 'if-none-match': '"other"' })).toMatchObject({ status: 200 });
    });

    it('never shares what a request with Authorization, Cookie or a user gets', async () => {
      await using http = await start();
      const personal: [string, Record<string, string>][] = [
        ['shared', { authorization: 'Bearer ann' }],
        ['shared', { cookie: 'session=ann' }],
        ['guarded', { 'x-key': 'ann' }],
      ];
      for (const [route, headers] of personal) {
        calls.clear();
        await http.cache.namespace('http').clear();
        for (const call of [1, 2]) {
          const answer = await http.get(`/flights/${route}`, headers);
          expect(answer).toMatchObject({ status: 200, cache: 'fwd=bypass; detail=personal' });
          expect(JSON.parse(answer.text)).toEqual({ call });
          expect(answer.headers.get('cache-control')).toBe('private, no-cache');
        }
        expect(await http.get(`/flights/${route}`)).toMatchObject({ cache: 'fwd=uri-miss' });
        // What was stored for nobody in particular is not given to somebody either.
        expect(await http.get(`/flights/${route}`, headers)).toMatchObject({ cache: 'fwd=bypass; detail=personal' });
      }
      expect((await http.get('/flights/guarded', { 'x-key': 'nobody' })).status).toBe(403);
    });

    it('keeps one response for each of those that varyBy tells apart, and no secret in a key', async () => {
      await using http = await start();
      const as = (authorization: string) => http.get('/flights/mine', { authorization });
      for (const who of ['ann', 'bob', 'ann', 'bob']) expect(JSON.parse((await as(who)).text)).toMatchObject({ who });
      expect(calls.get('mine')).toBe(2);
      const hit = await as('ann');
      expect(hit).toMatchObject({ cache: 'hit' });
      expect(hit.headers.get('cache-control')).toBe('private, no-cache');
      expect(await http.get('/flights/mine')).toMatchObject({
        cache: 'fwd=uri-miss',
        text: '{"who":"nobody","call":3}',
      });
      expect(await http.get('/flights/mine', { cookie: 'a=b' })).toMatchObject({
        cache: 'fwd=bypass; detail=personal',
      });
      const keys = await redis.client().keys('shop:cache:http:*mine*');
      expect(keys).toHaveLength(3);
      expect(keys.join()).not.toMatch(/ann|bob/);
    });

    it('tells responses apart by the headers of vary, says so, and refuses what varies by another', async () => {
      await using http = await start();
      for (const language of ['de', 'en', 'de']) {
        const answer = await http.get('/flights/vary', { 'accept-language': language });
        expect(JSON.parse(answer.text)).toMatchObject({ language });
        expect(answer.headers.get('vary')?.toLowerCase()).toContain('accept-language, x-tenant');
      }
      expect(calls.get('vary')).toBe(2);
      await http.get('/flights/vary', { 'accept-language': 'de', 'x-tenant': 'a' });
      expect(calls.get('vary')).toBe(3);
      for (const vary of ['vary=user-agent', 'vary=*']) {
        const path = `/flights/reply?set=${encodeURIComponent(vary)}`;
        expect(await http.get(path)).toMatchObject({ cache: 'fwd=uri-miss; detail=vary' });
        expect(await http.get(path)).toMatchObject({ cache: 'fwd=uri-miss; detail=vary' });
      }
    });

    it('goes by the parameters of the query that count', async () => {
      await using http = await start();
      await http.get('/flights/query?page=1&sort=asc&utm=x');
      expect(await http.get('/flights/query?sort=asc&utm=y&page=1')).toMatchObject({ cache: 'hit' });
      expect(await http.get('/flights/query?sort=asc&page=2')).toMatchObject({ cache: 'fwd=uri-miss' });
      expect(await http.get('/flights/query?sort=asc&page=1&page=2')).toMatchObject({ cache: 'fwd=uri-miss' });
    });

    it('stores what interceptors have made of the response', async () => {
      await using http = await start();
      expect(await http.get('/flights/account')).toMatchObject({ cache: 'fwd=uri-miss', text: '{"id":1}' });
      expect(await http.get('/flights/account')).toMatchObject({ cache: 'hit', text: '{"id":1}' });
    });

    it.each(['APP_INTERCEPTOR', 'useGlobalInterceptors'])(
      'stores what those of %s have made of it, too',
      async (way) => {
        const byToken = way === 'APP_INTERCEPTOR';
        const providers = byToken ? [{ provide: APP_INTERCEPTOR, useClass: HideSecrets }] : [];
        await using http = await startHttp(
          framework,
          redis.connection,
          { controllers: [FlightsController], providers },
          {},
          (app) => {
            if (!byToken) app.useGlobalInterceptors(new HideSecrets());
          },
        );
        const route = '/flights/plain-account';
        expect(await http.get(route)).toMatchObject({ cache: 'fwd=uri-miss', text: '{"id":1}' });
        expect(await http.get(route)).toMatchObject({ cache: 'hit', text: '{"id":1}' });
      },
    );

    it('stores nothing of a handler that goes on after a stale response was sent', async () => {
      const controllers = [FlightsController];
      await using http = await startHttp(framework, redis.connection, { controllers }, { softTimeout: '250ms' });
      const route = '/flights/soft';
      const first = await http.get(route);
      await http.cache.markTagsStale('soft');
      slow = gate<string>();
      expect(await http.get(route)).toMatchObject({
        status: 200,
        text: first.text,
        cache: 'hit; detail=stale-if-error',
      });
      // On a slow machine the handler is asked only now.
      await eventually(() => calls.get('soft') === 2);
      const late = slow;
      slow = undefined;
      late.open('too late');
      // A slow machine may be late once more, and get the stale one again.
      await eventually(
        async () => {
          const next = await http.get(route);
          expect(next.text).not.toContain('too late');
          expect(next.cache).toBe('fwd=uri-miss');
          expect(next.text).toBe(`{"call":${next.headers.get('x-call')}}`);
          expect(next.headers.get('age')).toBeNull();
        },
        { within: 30_000 },
      );
    });

    it.each([
      ['status=500', 'status'],
      ['status=404', 'status'],
      ['status=206', 'status'],
      ['set-cookie=session=1', 'set-cookie'],
      ['cache-control=no-store', 'no-store'],
      ['cache-control=private, max-age=60', 'private'],
      ['cache-control=No-Cache', 'no-cache'],
      ['cache-control=max-age=0', 'max-age-0'],
      ['cache-control=max-age=oops', 'max-age-0'],
    ])('does not store %s', async (set, detail) => {
      await using http = await start();
      const path = `/flights/reply?set=${encodeURIComponent(set)}`;
      for (const call of [1, 2]) {
        const answer = await http.get(path);
        expect(answer).toMatchObject({ cache: `fwd=uri-miss; detail=${detail}`, text: `{"call":${call}}` });
        if (detail === 'set-cookie') expect(answer.headers.getSetCookie()).toEqual(['session=1']);
      }
      expect(await redis.client().keys('shop:cache:http:{*}')).toEqual([]);
    });

    it('repeats status and headers, and lives no longer than the handler says', async () => {
      await using http = await start();
      const set = encodeURIComponent(
        'status=203|cache-control=max-age=100|x-total=7|content-language=de|access-control-allow-origin=https://a',
      );
      const first = await http.get(`/flights/reply?set=${set}`);
      const second = await http.get(`/flights/reply?set=${set}`);
      expect(second).toMatchObject({ status: 203, cache: 'hit', text: first.text });
      for (const name of ['cache-control', 'x-total', 'content-language', 'etag']) {
        expect(second.headers.get(name)).toBe(first.headers.get(name));
      }
      expect(second.headers.get('x-total')).toBe('7');
      expect(second.headers.get('access-control-allow-origin')).toBeNull();
      const [key = ''] = await redis.client().keys('shop:cache:http:*reply*');
      const ttl = await redis.client().pttl(key);
      expect(ttl).toBeGreaterThan(0);
      expect(ttl).toBeLessThanOrEqual(100_000);
      expect(await http.get('/flights/reply')).toMatchObject({ cache: 'fwd=uri-miss' });
      expect((await http.get('/flights/reply')).headers.get('cache-control')).toBe('public, max-age=60');
    });

    it.each([
      ['below', 'text 1', 200],
      ['code', 'call 1', 203],
      ['nothing', '', 200],
      ['number', '1', 200],
      ['plain', 'plain 1', 200],
    ])('repeats %s as it was', async (route, text, status) => {
      await using http = await start();
      const first = await http.get(`/flights/${route}`);
      const second = await http.get(`/flights/${route}`);
      expect(first).toMatchObject({ text, status, cache: 'fwd=uri-miss' });
      expect(second).toMatchObject({ text, status, cache: 'hit' });
      for (const name of ['content-type', 'etag', 'x-kind', 'cache-control']) {
        expect(second.headers.get(name)).toBe(first.headers.get(name));
      }
      expect(calls.get(route)).toBe(1);
    });

    it('lets streams and ranges pass, and other methods and routes alone', async () => {
      await using http = await start();
      for (const call of [1, 2]) {
        expect(await http.get('/flights/file')).toMatchObject({
          text: `file ${call}`,
          cache: 'fwd=uri-miss; detail=stream',
        });
      }
      await http.get('/flights/shared');
      expect(await http.get('/flights/shared', { range: 'bytes=0-1' })).toMatchObject({
        cache: 'fwd=bypass; detail=range',
      });
      expect((await http.get('/flights/open')).headers.get('cache-status')).toBeNull();
      expect((await http.get('/flights/one', {}, 'POST')).headers.get('cache-status')).toBeNull();
    });

    it('answers HEAD from what a GET has stored, and stores nothing of a HEAD', async () => {
      await using http = await start();
      expect(await http.get('/flights/shared', {}, 'HEAD')).toMatchObject({
        status: 200,
        text: '',
        cache: 'fwd=uri-miss; detail=head',
      });
      expect(await http.get('/flights/shared')).toMatchObject({ cache: 'fwd=uri-miss', text: '{"call":2}' });
      const head = await http.get('/flights/shared', {}, 'HEAD');
      expect(head).toMatchObject({ status: 200, text: '', cache: 'hit' });
      expect(head.headers.get('content-length')).toBe('10');
      const known = { 'if-none-match': head.headers.get('etag') ?? '' };
      expect(await http.get('/flights/shared', known, 'HEAD')).toMatchObject({ status: 304, cache: 'hit' });
    });

    it('does not cache errors, and serves what was there before where it may', async () => {
      await using http = await start();
      for (const call of [1, 2]) {
        const answer = await http.get('/flights/missing');
        expect(answer.status).toBe(404);
        expect(answer.text).toContain(`call ${call}`);
        expect(answer.cache).toBeUndefined();
      }
      await http.get('/flights/failing');
      failing = true;
      expect(await http.get('/flights/failing')).toMatchObject({ status: 200, cache: 'hit' });
      await http.cache.markTagsStale('failing');
      expect(await http.get('/flights/failing')).toMatchObject({
        status: 200,
        text: '{"call":1}',
        cache: 'hit; detail=stale-if-error',
      });
      await http.cache.invalidateTags('failing');
      expect((await http.get('/flights/failing')).status).toBe(500);
    });

    it('loads once for many, and lets none of them wait for one that is gone', async () => {
      await using http = await start();
      slow = gate<string>();
      const leaving = new AbortController();
      const url = await http.app.getUrl();
      const gone = fetch(`${url}/flights/slow`, { signal: leaving.signal }).catch(() => 'gone');
      await eventually(() => calls.get('slow') === 1);
      const others = Array.from({ length: 20 }, () => http.get('/flights/slow'));
      await eventually(() => http.cache.stats().misses === 21, { within: 30_000 });
      leaving.abort();
      expect(await gone).toBe('gone');
      slow.open('done');
      const answers = await Promise.all(others);
      // Those that came while the handler ran look again, and find what it has brought.
      for (const { text } of answers) expect(text).toBe('{"text":"done","call":1}');
      expect(calls.get('slow')).toBe(1);
    });

    it('evicts by tags', async () => {
      await using http = await start();
      for (const id of ['BA1', 'BA2']) await http.get(`/flights/one/${id}`);
      await http.get('/flights/one/BA1', {}, 'DELETE');
      expect(await http.get('/flights/one/BA1')).toMatchObject({ cache: 'fwd=uri-miss' });
      expect(await http.get('/flights/one/BA2')).toMatchObject({ cache: 'hit' });
      await http.cache.invalidateTags('flights');
      expect(await http.get('/flights/one/BA2')).toMatchObject({ cache: 'fwd=uri-miss' });
    });

    it('honours condition and unless', async () => {
      await using http = await start();
      const path = '/flights/choosy';
      expect(await http.get(`${path}?live`)).toMatchObject({ cache: 'fwd=bypass; detail=condition' });
      for (const _ of [1, 2])
        expect(await http.get(`${path}?empty=yes`)).toMatchObject({ cache: 'fwd=uri-miss; detail=unless' });
      await http.get(path);
      expect(await http.get(path)).toMatchObject({ cache: 'hit' });
    });

    it('heeds directives of the request only where it is told to', async () => {
      await using http = await start();
      await http.get('/flights/shared');
      for (const directive of ['no-store', 'no-cache', 'max-age=0']) {
        expect(await http.get('/flights/shared', { 'cache-control': directive })).toMatchObject({ cache: 'hit' });
      }
      const heed = (directive: string) => http.get('/flights/heed', { 'cache-control': directive });
      await http.get('/flights/heed');
      expect(await heed('no-store')).toMatchObject({ cache: 'fwd=bypass; detail=no-store', text: '{"call":2}' });
      expect(await heed('max-age=3600')).toMatchObject({ cache: 'hit', text: '{"call":1}' });
      expect(await heed('no-cache')).toMatchObject({ cache: 'fwd=request', text: '{"call":3}' });
      expect(await http.get('/flights/heed')).toMatchObject({ cache: 'hit', text: '{"call":3}' });
      expect(await heed('max-age=0')).toMatchObject({ text: '{"call":4}' });
      expect(await http.get('/flights/heed', { pragma: 'no-cache' })).toMatchObject({
        cache: 'fwd=request',
        text: '{"call":5}',
      });
    });

    it('keeps headers of other origins and of middleware to their own exchange', async () => {
      let exchange = 0;
      const configure = (app: INestApplication) => {
        app.enableCors({ origin: ['https://a.example', 'https://b.example'] });
        app.use((_request: unknown, response: ServerResponse, next: () => void) => {
          response.setHeader('x-request-id', `${++exchange}`);
          next();
        });
      };
      const controllers = [FlightsController];
      await using http = await startHttp(framework, redis.connection, { controllers }, {}, configure);
      for (const [before, origin] of ['https://a.example', 'https://b.example'].entries()) {
        const answer = await http.get('/flights/shared', { origin });
        expect(answer.headers.get('access-control-allow-origin')).toBe(origin);
        expect(answer.headers.get('vary')).toMatch(/Origin/i);
        expect(answer.headers.get('x-request-id')).toBe(`${before + 1}`);
      }
      expect(calls.get('shared')).toBe(1);
    });
  });
});
