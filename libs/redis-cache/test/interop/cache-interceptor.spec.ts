import { jest } from '@jest/globals';
import {
  Controller,
  Get,
  Header,
  Logger,
  Param,
  Post,
  StreamableFile,
  UseInterceptors,
  type INestApplication,
} from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { RedisModule } from '@redstart/redis-core';
import { eventually, RedisServer } from '@redstart/redis-testing';
import { CacheInterceptor, CacheKey, CacheModule, CacheTTL } from '../../src/cache-manager/index.js';
import { CacheService, RedisCacheModule } from '../../src/index.js';

const answer = jest.fn((name: string): unknown => ({ name }));

@Controller()
@UseInterceptors(CacheInterceptor)
class Airports {
  @Get('airports/:code')
  find(@Param('code') code: string): unknown {
    return answer(code);
  }

  @Get('short')
  @CacheTTL(20_000)
  short(): unknown {
    return answer('short');
  }

  @Get('named')
  @CacheKey('airports:all')
  @CacheTTL(() => 120_000)
  named(): unknown {
    return answer('named');
  }

  @Post('airports')
  create(): unknown {
    return answer('created');
  }

  @Get('file')
  @Header('content-type', 'text/plain')
  file(): StreamableFile {
    answer('file');
    return new StreamableFile(Buffer.from('bytes'));
  }
}

describe('CacheInterceptor of @nestjs/cache-manager', () => {
  let server: RedisServer;
  let app: INestApplication;
  const request = async (method: string, path: string) => {
    const response = await fetch(`${await app.getUrl()}/${path}`, { method });
    const text = await response.text();
    return { status: response.status, cached: response.headers.get('x-cache'), text };
  };
  beforeAll(async () => {
    server = await RedisServer.start();
    const module = await Test.createTestingModule({
      imports: [
        RedisModule.forRoot({ namespace: 'shop', url: server.url }),
        RedisCacheModule.forRoot({ budget: '2s', jitter: 0, near: false }),
        CacheModule.register({ ttl: 30_000 }),
      ],
      controllers: [Airports],
    }).compile();
    app = module.createNestApplication();
    await app.listen(0, '127.0.0.1');
  }, 60_000);
  afterAll(async () => {
    await app.close();
    await server.stop();
  });
  beforeEach(async () => {
    answer.mockClear();
    await server.flush();
  });
  const client = () => server.client();

  /** It answers before it stores. */
  const stored = (key: string) => eventually(async () => (await client().exists(key)) === 1, { within: 15_000 });

  it('serves a second request from Redis, by its URL', async () => {
    expect(await request('GET', 'airports/JFK')).toEqual({ status: 200, cached: 'MISS', text: '{"name":"JFK"}' });
    await stored('shop:cache:{/airports/JFK}');
    expect(await request('GET', 'airports/JFK')).toEqual({ status: 200, cached: 'HIT', text: '{"name":"JFK"}' });
    expect(await request('GET', 'airports/FRA')).toMatchObject({ cached: 'MISS', text: '{"name":"FRA"}' });
    expect(answer).toHaveBeenCalledTimes(2);
    const left = await client().pttl('shop:cache:{/airports/JFK}');
    expect(left).toBeGreaterThan(15_000);
    expect(left).toBeLessThanOrEqual(30_000);
    await app.get(CacheService, { strict: false }).delete('/airports/JFK');
    expect(await request('GET', 'airports/JFK')).toMatchObject({ cached: 'MISS' });
  });

  it('goes by @CacheKey and @CacheTTL, in milliseconds', async () => {
    await request('GET', 'named');
    await stored('shop:cache:{airports:all}');
    expect(await request('GET', 'named')).toMatchObject({ cached: 'HIT' });
    const left = await client().pttl('shop:cache:{airports:all}');
    expect(left).toBeGreaterThan(60_000);
    expect(left).toBeLessThanOrEqual(120_000);
    await request('GET', 'short');
    await stored('shop:cache:{/short}');
    expect(await client().pttl('shop:cache:{/short}')).toBeLessThanOrEqual(20_000);
  });

  it('takes null for a miss, caches no file and no POST', async () => {
    answer.mockReturnValueOnce(null);
    await request('GET', 'airports/none');
    await stored('shop:cache:{/airports/none}');
    expect(await request('GET', 'airports/none')).toMatchObject({ cached: 'MISS', text: '{"name":"none"}' });
    for (let turn = 0; turn < 2; turn += 1) {
      expect(await request('GET', 'file')).toMatchObject({ cached: 'MISS', text: 'bytes' });
      await request('POST', 'airports');
    }
    expect(await client().keys('shop:cache:{*}')).toEqual(['shop:cache:{/airports/none}']);
  });

  it('runs the handler while Redis is away', async () => {
    const notStored = jest.spyOn(Logger, 'error').mockImplementation(() => undefined);
    jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    await server.kill();
    for (const code of ['JFK', 'JFK']) {
      expect(await request('GET', `airports/${code}`)).toMatchObject({ status: 200, text: '{"name":"JFK"}' });
    }
    expect(answer).toHaveBeenCalledTimes(2);
    // It answers before it stores.
    await eventually(
      () => {
        expect(notStored).toHaveBeenCalledTimes(2);
      },
      { within: 15_000 },
    );
    jest.restoreAllMocks();
  }, 60_000);
});
