import { Controller, Get, InternalServerErrorException } from '@nestjs/common';
import { cluster, describeOn, eventually, RedisServer, standalone } from '@redstart/redis-testing';
import { HttpCache, type CacheModuleOptions } from '../src/index.js';
import { gate, type Connection, type Gate } from './app.js';
import { frameworks, startHttp, type Framework, type HttpApp } from './http-app.js';

let asked = 0;
let runs = 0;
let source = 'old';
/** Keeps handlers that have read the source. */
let held: Gate<undefined> | undefined;

@Controller('flights')
class FlightsController {
  @HttpCache({
    tags: ['flights'],
    requestDirectives: 'heed',
    condition: () => {
      asked += 1;
      return true;
    },
  })
  @Get('heed')
  async heed(): Promise<object> {
    const read = source;
    runs += 1;
    if (read === 'broken') throw new InternalServerErrorException();
    await held?.opened;
    return { read };
  }
}

const noCache = { 'cache-control': 'no-cache' };
const path = '/flights/heed';
const patient = { within: 30_000 };

const start = (framework: Framework, connection: Connection, options: CacheModuleOptions) =>
  startHttp(framework, connection, { controllers: [FlightsController] }, options);

beforeEach(() => {
  asked = 0;
  runs = 0;
  source = 'old';
  held = undefined;
});

describeOn(standalone, cluster)('responses that a client wants anew', (redis) => {
  describe.each<[Framework, boolean]>([
    ['Express', false],
    ['Fastify', true],
  ])('on %s, with a near tier: %s', (framework, near) => {
    let http: HttpApp;
    beforeAll(async () => {
      http = await start(framework, redis.connection, { near });
    });
    beforeEach(() => http.cache.clear());
    afterAll(() => http[Symbol.asyncDispose]());

    it.each<[string, () => Promise<unknown>]>([
      ['a tag', () => http.cache.invalidateTags('flights')],
      ['all', () => http.cache.clear()],
      ['a prefix', () => http.cache.namespace('http').deleteByPrefix('FlightsController:')],
    ])('do not bring back what was invalidated while they were loaded: %s', async (_what, invalidate) => {
      held = gate();
      const late = http.get(path, noCache);
      await eventually(() => runs === 1, patient);
      source = 'new';
      await invalidate();
      held.open(undefined);
      await late;
      expect(await http.get(path)).toMatchObject({ cache: 'fwd=uri-miss', text: '{"read":"new"}' });
      await eventually(async () => (await http.get(path)).cache === 'hit', patient);
    });

    it('are loaded one at a time, and once for all who come meanwhile', async () => {
      await http.get(path);
      const misses = () => http.cache.stats().misses;
      const [before, runsBefore] = [misses(), runs];
      const first = (held = gate());
      const early = http.get(path, noCache);
      await eventually(() => runs === runsBefore + 1, patient);
      source = 'new';
      const others = Array.from({ length: 5 }, () => http.get(path, noCache));
      await eventually(() => asked === 7, patient);
      held = gate();
      first.open(undefined);
      // All of them are on the second load before it ends.
      await eventually(() => runs === runsBefore + 2 && misses() === before + 6, patient);
      held.open(undefined);
      expect(await early).toMatchObject({ cache: 'fwd=request', text: '{"read":"old"}' });
      for (const { text } of await Promise.all(others)) expect(text).toBe('{"read":"new"}');
      expect(runs).toBe(runsBefore + 2);
      expect(await http.get(path)).toMatchObject({ cache: 'hit', text: '{"read":"new"}' });
    });

    it('are asked for by HEAD as well', async () => {
      await http.get(path);
      expect(await http.get(path, noCache, 'HEAD')).toMatchObject({ cache: 'fwd=request; detail=head' });
      expect(await http.get(path, { 'cache-control': 'max-age=3600' }, 'HEAD')).toMatchObject({ cache: 'hit' });
      expect(await http.get(path, {}, 'HEAD')).toMatchObject({ cache: 'hit' });
    });

    it('fail with the handler, which is asked once', async () => {
      await http.get(path);
      source = 'broken';
      expect(await http.get(path, noCache)).toMatchObject({ status: 500, cache: undefined });
      expect(runs).toBe(2);
      source = 'new';
      expect(await http.get(path)).toMatchObject({ cache: 'fwd=uri-miss', text: '{"read":"new"}' });
    });
  });
});

describe.each(frameworks)('responses that a client wants anew, on %s', (framework) => {
  it('are there when Redis is down', async () => {
    await using server = await RedisServer.start();
    await using http = await start(framework, { url: server.url }, { budget: '250ms' });
    await http.get(path);
    await server.kill();
    source = 'new';
    expect(await http.get(path, noCache)).toMatchObject({
      status: 200,
      cache: 'fwd=request',
      text: '{"read":"new"}',
    });
  });
});
