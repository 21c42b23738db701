import { ConflictException, Controller, Get, Header, Headers, Query, Res, type INestApplication } from '@nestjs/common';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import type { ServerResponse } from 'node:http';
import { HttpCache } from '../src/index.js';
import { frameworks, startHttp, type HttpApp } from './http-app.js';

let calls = 0;
let failing = false;

/** What handlers have to do with a response on either platform. */
interface Reply {
  header(name: string, value: string): unknown;
}

@Controller('greetings')
class GreetingsController {
  @HttpCache({ tags: ['greetings'] })
  @Get('plain')
  plain(): object {
    return { call: ++calls };
  }

  @HttpCache()
  @Get('varying')
  @Header('Vary', 'Accept-Language')
  varying(@Headers('accept-language') language = 'none'): object {
    return { language, call: ++calls };
  }

  @HttpCache({ vary: ['accept-language'] })
  @Get('listed')
  @Header('Vary', 'Accept-Language')
  listed(@Headers('accept-language') language = 'none'): object {
    return { language, call: ++calls };
  }

  @HttpCache({ tags: ['greetings'], staleIfError: '1h' })
  @Get('stale')
  stale(@Res({ passthrough: true }) reply: Reply, @Query('say') say?: string): object {
    if (failing) {
      for (const name of ['Set-Cookie', 'X-Request', 'X-Debug']) reply.header(name, 'failed');
      throw new ConflictException();
    }
    if (say !== undefined) reply.header('Cache-Control', `max-age=60, ${say}`);
    return { call: ++calls };
  }

  @HttpCache({ tags: ['greetings'], staleIfError: '1h' })
  @Get('declared')
  @Header('Cache-Control', 'max-age=60, must-revalidate')
  declared(): object {
    if (failing) throw new ConflictException();
    return { call: ++calls };
  }

  @HttpCache()
  @Get('expires')
  expires(@Res({ passthrough: true }) reply: Reply, @Query('at') at: string): object {
    reply.header('Expires', at);
    return { call: ++calls };
  }

  @HttpCache()
  @Get('cookie')
  @Header('Set-Cookie', 'session=1')
  cookie(): object {
    return { call: ++calls };
  }
}

describeOn(standalone, cluster)('responses that are one of several', (redis) => {
  describe.each(frameworks)('on %s', (framework) => {
    let http: HttpApp;
    /** What middleware says of each response. */
    let before: readonly (readonly [name: string, value: string | string[]])[] = [];
    beforeAll(async () => {
      const configure = (app: INestApplication) => {
        app.use((_request: unknown, response: ServerResponse, next: () => void) => {
          for (const [name, value] of before) response.setHeader(name, value);
          next();
        });
      };
      http = await startHttp(framework, redis.connection, { controllers: [GreetingsController] }, {}, configure);
    });
    beforeEach(() => {
      calls = 0;
      failing = false;
      before = [];
    });
    afterAll(() => http[Symbol.asyncDispose]());

    it('are stored, found, and evicted by a tag', async () => {
      const first = await http.get('/greetings/plain');
      expect(first).toMatchObject({ cache: 'fwd=uri-miss', text: '{"call":1}' });
      expect(await http.get('/greetings/plain')).toMatchObject({ cache: 'hit', text: '{"call":1}' });
      expect(await http.get('/greetings/plain', { 'if-none-match': first.headers.get('etag') ?? '' })).toMatchObject({
        status: 304,
        cache: 'hit',
      });
      await http.cache.invalidateTags('greetings');
      expect(await http.get('/greetings/plain')).toMatchObject({ cache: 'fwd=uri-miss', text: '{"call":2}' });
      await eventually(async () => (await http.get('/greetings/plain')).cache === 'hit');
    });

    it('are not stored where a header of the route says that they vary, unless the cache tells them apart', async () => {
      const languages = ['de', 'fr', 'de'];
      for (const [index, language] of languages.entries()) {
        expect(await http.get('/greetings/varying', { 'accept-language': language })).toMatchObject({
          cache: 'fwd=uri-miss; detail=vary',
          text: JSON.stringify({ language, call: index + 1 }),
        });
      }
      const told = languages.map((language) => http.get('/greetings/listed', { 'accept-language': language }));
      for (const [index, answer] of (await Promise.all(told)).entries()) {
        expect(answer.text).toContain(`"${languages[index]}"`);
        expect(answer.headers.get('vary')).toMatch(/^accept-language$/i);
      }
      expect(calls).toBe(5);
    });

    it.each(['Accept-Language', 'Origin, X-Tenant', 'Cookie', '*'])(
      'are not stored where middleware says that they vary by %s',
      async (names) => {
        before = [['Vary', names]];
        for (const call of [1, 2]) {
          const answer = await http.get('/greetings/plain');
          expect(answer).toMatchObject({ cache: 'fwd=uri-miss; detail=vary', text: `{"call":${call}}` });
        }
      },
    );

    it('are stored where middleware varies what is not: by origin, and by encoding', async () => {
      before = [['Vary', 'Origin, Accept-Encoding']];
      await http.get('/greetings/plain');
      const answer = await http.get('/greetings/plain');
      expect(answer).toMatchObject({ cache: 'hit', text: '{"call":1}' });
      expect(answer.headers.get('vary')).toBe('Origin, Accept-Encoding');
    });

    it.each([
      ['', 200],
      ['?say=public', 200],
      ['?say=must-revalidate', 409],
      ['?say=proxy-revalidate', 409],
      ['?say=s-maxage=60', 409],
    ])('are stale where the handler fails, unless they say that they must not be: %s', async (query, status) => {
      expect(await http.get(`/greetings/stale${query}`)).toMatchObject({ status: 200, cache: 'fwd=uri-miss' });
      await http.cache.markTagsStale('greetings');
      failing = true;
      const cache = status === 200 ? 'hit; detail=stale-if-error' : undefined;
      // Also for those who ask a moment later, when the handler is left alone, and who have shared its failure.
      for (const _ of [1, 2]) expect(await http.get(`/greetings/stale${query}`)).toMatchObject({ status, cache });
      await http.cache.invalidateTags('greetings');
      failing = false;
      await http.get(`/greetings/stale${query}`);
      await http.cache.markTagsStale('greetings');
      failing = true;
      const together = Array.from({ length: 5 }, () => http.get(`/greetings/stale${query}`));
      for (const answer of await Promise.all(together)) expect(answer).toMatchObject({ status, cache });
    });

    it('are not stale where a header of the route forbids it', async () => {
      expect(await http.get('/greetings/declared')).toMatchObject({ status: 200, cache: 'fwd=uri-miss' });
      expect(await http.get('/greetings/declared')).toMatchObject({ status: 200, cache: 'hit' });
      await http.cache.markTagsStale('greetings');
      failing = true;
      for (const _ of [1, 2]) expect((await http.get('/greetings/declared')).status).toBe(409);
    });

    it('have none of the headers of a handler that has failed, and all of those from before it', async () => {
      await http.get('/greetings/stale');
      await http.cache.markTagsStale('greetings');
      failing = true;
      before = [
        ['Set-Cookie', ['a=1', 'b=2; Path=/']],
        ['X-Request', '7'],
      ];
      const { cache, headers } = await http.get('/greetings/stale');
      expect(cache).toBe('hit; detail=stale-if-error');
      expect(headers.getSetCookie()).toEqual(['a=1', 'b=2; Path=/']);
      expect(headers.get('x-request')).toBe('7');
      expect(headers.get('x-debug')).toBeNull();
    });

    it('are stored for as long as Expires says where nothing else does, and not at all when that is over', async () => {
      const get = (at: string) => http.get(`/greetings/expires?at=${encodeURIComponent(at)}`);
      for (const at of ['0', '-1', 'never', new Date(Date.now() - 60_000).toUTCString()]) {
        expect(await get(at)).toMatchObject({ cache: 'fwd=uri-miss; detail=max-age-0' });
      }
      const later = new Date(Date.now() + 60_000).toUTCString();
      await get(later);
      expect(await get(later)).toMatchObject({ cache: 'hit' });
    });

    it('are not stored with a cookie, whoever has set it before the handler ran', async () => {
      for (const call of [1, 2]) {
        const answer = await http.get('/greetings/cookie');
        expect(answer).toMatchObject({ cache: 'fwd=uri-miss; detail=set-cookie', text: `{"call":${call}}` });
      }
      before = [['Set-Cookie', 'session=2']];
      for (const call of [3, 4]) {
        const answer = await http.get('/greetings/plain');
        expect(answer).toMatchObject({ cache: 'fwd=uri-miss; detail=set-cookie', text: `{"call":${call}}` });
        expect(answer.headers.getSetCookie()).toEqual(['session=2']);
      }
    });
  });
});
