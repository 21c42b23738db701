import { Controller, Get, Query, type INestApplication } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { describeOn, standalone } from '@redstart/redis-testing';
import { get } from 'node:http';
import { HttpCache } from '../src/index.js';
import { startHttp, type Framework } from './http-app.js';

@Controller('flights')
class FlightsController {
  /** Reads what it says that it reads. */
  @HttpCache({ query: ['from', 'filter'] })
  @Get('cached')
  cached(@Query('from') from: unknown, @Query('filter') filter: unknown, @Query() all: object): object {
    return this.plain(from, filter, all);
  }

  @Get('plain')
  plain(@Query('from') from: unknown, @Query('filter') filter: unknown, @Query() all: object): object {
    const parts = (name: string) => Object.entries(all).filter(([part]) => part.split(/[[.]/, 1)[0] === name);
    return { from: written(from), filter: written(filter), parts: [parts('from'), parts('filter')] };
  }
}

/** JSON would leave out what is not there. */
function written(value: unknown): unknown {
  return value === undefined ? 'nothing' : { value };
}

/** As they are written: a client of another make would mend them. */
function answerTo(url: string, path: string): Promise<{ readonly text: string; readonly cache: string | undefined }> {
  return new Promise((resolve, reject) => {
    get(url, { path, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => {
        resolve({ text, cache: String(response.headers['cache-status']).replace('redstart; ', '') });
      });
    }).on('error', reject);
  });
}

const many = 'a&'.repeat(1000);
/** In this order: what comes first is not to be found by what comes later. */
const queries = [
  ...['??from=ann', '?from=ann', `?${many}from=bob`, '?from=bob', '?x=1#&from=cat', '?from=cat', '?x=1#?from=cat'],
  ...['?from=Ren%E9', '?from=Ren%E8', '?from=Ren%C3%A9', '?from=Ren%EF%BF%BD', '?x=1;from=dan', '?from=dan'],
  ...['', '?', '?from', '?from=', '?from=&from=', '?from=null', '?from=undefined', '?&&from=eve', '?from=eve'],
  ...['?from=a&from=b', '?from=b&from=a', '?from=a,b', '?from=a%2Cb', '?from[]=a&from[]=b', '?from[1]=b&from[0]=a'],
  ...['?from[]=a', '?from[0]=a', '?from=a', '?from=%5B%22a%22%5D', '?from=%22a%22', '?from[a]=a', '?from%5Ba%5D=b'],
  ...['?filter[a]=1&filter[b]=2', '?filter[b]=2&filter[a]=1', '?filter[a]=2&filter[b]=1', '?filter[a][b]=1'],
  ...['?filter[a.b]=1', '?filter.a=1', '?filter.a=2', '?filter=1', '?filter={"a":1}', '?filter[__proto__]=1'],
  ...['?filter[a]=1&filter=2', '?filter=2&filter[a]=1', '?from=1&filter=2', '?from=2&filter=1', '?from=a+b'],
  ...['?from=a%20b', '?from=a%2Bb', '?from[length]=1', '?from[hasOwnProperty]=1', '?from[toJSON]=1', '?fromm=1'],
  ...['?[["from","ann"]]', '?from=a%26filter=b', '?from=a&filter=b', '?__proto__=1', '?__proto__[from]=1'],
];

describe.each<[string, Framework, 'simple' | 'extended' | undefined]>([
  ['Express', 'Express', undefined],
  ['Express with the simple parser', 'Express', 'simple'],
  ['Express with the extended parser', 'Express', 'extended'],
  ['Fastify', 'Fastify', undefined],
])('parameters of the query on %s', (_name, framework, parser) => {
  describeOn(standalone)('on a server', (redis) => {
    it('tell responses apart as the handler reads them', async () => {
      const configure = (app: INestApplication) => {
        if (parser !== undefined) (app as NestExpressApplication).set('query parser', parser);
      };
      const controllers = [FlightsController];
      await using http = await startHttp(framework, redis.connection, { controllers }, {}, configure);
      const url = await http.app.getUrl();
      const texts = new Map<string, string>();
      for (const query of queries) {
        const expected = await answerTo(url, `/flights/plain${query}`);
        expect({ query, ...(await answerTo(url, `/flights/cached${query}`)) }).toMatchObject({
          query,
          text: expected.text,
        });
        texts.set(query, expected.text);
      }
      // One response for all that the handler reads as one, whatever else they say.
      for (const query of ['?from=ann&x=1', '?x=2&from=ann', '?from=%61nn', '?&from=ann&&utm=3']) {
        expect(await answerTo(url, `/flights/cached${query}`)).toEqual({ text: texts.get('?from=ann'), cache: 'hit' });
      }
      expect(await answerTo(url, '/flights/cached?filter=2&from=1')).toEqual({
        text: texts.get('?from=1&filter=2'),
        cache: 'hit',
      });
      const differing = new Set(texts.values()).size;
      expect(differing).toBeGreaterThan(30);
      expect(await redis.client().keys('shop:cache:http:{*')).toHaveLength(differing);
    });
  });
});
