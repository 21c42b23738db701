import {
  Controller,
  Get,
  Injectable,
  Post,
  Query,
  Redirect,
  Render,
  Req,
  Res,
  Scope,
  Sse,
  VERSION_NEUTRAL,
  VersioningType,
  type INestApplication,
  type MessageEvent,
  type ModuleMetadata,
} from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { OptionsError, RedisModule } from '@redstart/redis-core';
import { describeOn, RedisServer, standalone } from '@redstart/redis-testing';
import { of, type Observable } from 'rxjs';
import { HttpCache, provideNoopCache, RedisCacheModule } from '../src/index.js';
import { nowhere, startCache } from './app.js';
import { frameworks, startHttp } from './http-app.js';

describe('boot of routes with @HttpCache', () => {
  const boot = (metadata: ModuleMetadata) =>
    startCache(nowhere(), {}, metadata).then((app) => app[Symbol.asyncDispose]());

  it('names class and module when the module is forgotten', async () => {
    @Controller()
    class Rates {
      @HttpCache()
      @Get('rates')
      all(): number {
        return 1;
      }
    }
    const forgotten = (imports: ModuleMetadata['imports'] = []) =>
      Test.createTestingModule({
        imports: [RedisModule.forRoot({ namespace: 'shop', ...nowhere() }), ...imports],
        controllers: [Rates],
      }).compile();
    await expect(forgotten()).rejects.toThrow(/Rates[^]*CacheService \(import RedisCacheModule\.forRoot\(\)\)/);
    await expect(forgotten([RedisCacheModule.forRoot({ name: 'other' })])).rejects.toThrow(/Rates[^]*RedisCacheModule/);
  });

  it('refuses what is no route of GET, and what answers by itself', async () => {
    @Controller()
    class Wrong {
      @HttpCache()
      none(): number {
        return 1;
      }
    }
    @Controller()
    class Posting {
      @HttpCache()
      @Post('rates')
      add(): number {
        return 1;
      }
    }
    @Controller()
    class Taking {
      @Get('rates')
      @HttpCache()
      all(@Res() reply: { send(body: string): void }): void {
        reply.send('rates');
      }
    }
    @Controller()
    class Streaming {
      @HttpCache()
      @Sse('rates')
      all(): Observable<MessageEvent> {
        return of({ data: 'rates' });
      }
    }
    @Controller()
    class Rendering {
      @HttpCache()
      @Render('rates')
      @Get('rates')
      all(): object {
        return {};
      }
    }
    @Controller()
    class Redirecting {
      @Redirect('/other')
      @Get('rates')
      @HttpCache()
      all(): void {
        return undefined;
      }
    }
    @Injectable()
    class NoController {
      @HttpCache()
      @Get('rates')
      all(): number {
        return 1;
      }
    }
    await expect(boot({ controllers: [Wrong] })).rejects.toThrow(/@HttpCache on Wrong\.none: this is no route/);
    await expect(boot({ controllers: [Posting] })).rejects.toThrow(/Posting\.add: only GET and HEAD are cached/);
    await expect(boot({ controllers: [Taking] })).rejects.toThrow(/Taking\.all: takes the response in its own hands/);
    await expect(boot({ controllers: [Streaming] })).rejects.toThrow(/Streaming\.all: does not go with @Sse/);
    await expect(boot({ controllers: [Rendering] })).rejects.toThrow(/Rendering\.all: does not go with @Render/);
    await expect(boot({ controllers: [Redirecting] })).rejects.toThrow(/does not go with @Redirect/);
    await expect(boot({ providers: [NoController] })).rejects.toThrow(/NoController\.all: this is no route/);
  });

  it('refuses a route that another decorator has taken the place of', async () => {
    const Careless: MethodDecorator = (_target, _key, descriptor) => {
      const method: unknown = descriptor.value;
      const careless = function (this: unknown, ...args: unknown[]): unknown {
        return typeof method === 'function' ? Reflect.apply(method, this, args) : undefined;
      };
      Object.assign(descriptor, { value: careless });
    };
    @Controller()
    class Covered {
      @Careless
      @HttpCache()
      @Get('rates')
      all(): number {
        return 1;
      }
    }
    await expect(boot({ controllers: [Covered] })).rejects.toThrow(/Covered\.all: this is no route, or another/);
  });

  it('refuses two controllers of one name', async () => {
    const named = () => {
      @Controller('rates')
      class Rates {
        @HttpCache()
        @Get()
        all(): number {
          return 1;
        }
      }
      return Rates;
    };
    await expect(boot({ controllers: [named(), named()] })).rejects.toThrow(/Rates\.all: its class needs a name/);
  });

  it('refuses wrong options where they are written', () => {
    // What a caller without types may write.
    const decorate = (options: object) => () => HttpCache(options);
    expect(decorate({ ttl: 'soon' })).toThrow(/@HttpCache\.ttl/);
    expect(decorate({ tll: 5 })).toThrow(/not an option/);
    expect(decorate({ vary: ['Authorization'] })).toThrow(/authorization says who asks: give varyBy/);
    expect(decorate({ vary: ['Cookie'] })).toThrow(OptionsError);
    expect(decorate({ vary: ['*'] })).toThrow(/@HttpCache\.vary/);
    expect(decorate({ vary: 'accept' })).toThrow(/@HttpCache\.vary/);
    expect(decorate({ query: [1] })).toThrow(/@HttpCache\.query/);
    for (const tags of ['flights', [{}], [''], [['a', null]], null, Array.from({ length: 101 }, (_, tag) => tag)]) {
      expect(decorate({ tags })).toThrow(OptionsError);
      expect(decorate({ tags })).toThrow(/@HttpCache\.tags/);
    }
    expect(decorate({ etag: 'md5' })).toThrow(/@HttpCache\.etag/);
    expect(decorate({ cacheControl: 'a\r\nSet-Cookie: b' })).toThrow(/@HttpCache\.cacheControl/);
    expect(decorate({ requestDirectives: true })).toThrow(/@HttpCache\.requestDirectives/);
    expect(decorate({ varyBy: 'user' })).toThrow(/@HttpCache\.varyBy/);
    class Rates {
      readonly base = 1;
      static all(): number {
        return 1;
      }
    }
    const descriptor = Object.getOwnPropertyDescriptor(Rates, 'all') ?? {};
    expect(() => {
      HttpCache()(Rates, 'all', descriptor);
    }).toThrow(/@HttpCache on all/);
  });

  it('lets routes just run with provideNoopCache', async () => {
    @Controller()
    class Rates {
      calls = 0;
      @HttpCache()
      @Get('rates')
      all(): number {
        return ++this.calls;
      }
    }
    const module = await Test.createTestingModule({ controllers: [Rates], providers: provideNoopCache() }).compile();
    expect(module.get(Rates).all()).toBe(1);
  });
});

/** How often a request-scoped controller has been asked. */
let scoped = 0;

class BaseController {
  calls = 0;

  @HttpCache()
  @Get('inherited')
  inherited(): string {
    return `${this.constructor.name} ${++this.calls}`;
  }

  @HttpCache()
  @Get('overridden')
  overridden(): string {
    return 'base';
  }
}

@Controller('a')
class AController extends BaseController {}

@Controller('b')
class BController extends BaseController {
  @Get('overridden')
  override overridden(): string {
    return `not cached ${++this.calls}`;
  }
}

@Controller({ path: 'versions', version: '1' })
class FirstVersion {
  @HttpCache()
  @Get()
  all(): string {
    return 'first';
  }
}

@Controller({ path: 'versions', version: '2' })
class SecondVersion {
  @HttpCache()
  @Get()
  all(): string {
    return 'second';
  }
}

@Controller({ path: 'scoped', scope: Scope.REQUEST })
class ScopedController {
  @HttpCache({ cache: 'pages' })
  @Get()
  all(@Req() request: { url: string }, @Query('a') a = ''): string {
    scoped += 1;
    return `${request.url} ${a}`;
  }
}

function versions(app: INestApplication): void {
  app.enableVersioning({ type: VersioningType.HEADER, header: 'x-version', defaultVersion: VERSION_NEUTRAL });
}

describe.each(frameworks)('routes on %s', (framework) => {
  const metadata = {
    controllers: [AController, BController, FirstVersion, SecondVersion, ScopedController],
    imports: [RedisCacheModule.forRoot({ name: 'pages', budget: '10s', near: false })],
  };

  describeOn(standalone)('on a server', (redis) => {
    it('may be inherited, overridden, of several versions, request-scoped, and in another cache', async () => {
      scoped = 0;
      await using http = await startHttp(framework, redis.connection, metadata, {}, versions);
      for (const status of ['fwd=uri-miss', 'hit']) {
        expect(await http.get('/a/inherited')).toMatchObject({ text: 'AController 1', cache: status });
        expect(await http.get('/b/inherited')).toMatchObject({ text: 'BController 1', cache: status });
        expect(await http.get('/versions', { 'x-version': '1' })).toMatchObject({ text: 'first', cache: status });
        expect(await http.get('/versions', { 'x-version': '2' })).toMatchObject({ text: 'second', cache: status });
        expect(await http.get('/scoped?a=1')).toMatchObject({ text: '/scoped?a=1 1', cache: status });
      }
      expect(await http.get('/b/overridden')).toMatchObject({ text: 'not cached 2', cache: undefined });
      expect(scoped).toBe(1);
      expect(await redis.client().keys('shop:cache@pages:http:{*')).toHaveLength(1);
    });

    it('asks the handler where something else lies under the key', async () => {
      await using http = await startHttp(framework, redis.connection, metadata, {}, versions);
      await http.get('/a/inherited');
      const host = new URL(await http.app.getUrl()).host;
      const key = ['AController', 'inherited', `http://${host}`, '/a/inherited'];
      expect(await http.cache.namespace('http').has(key)).toBe(true);
      await http.cache.namespace('http').set(key, { format: 2, status: 200, body: 'from the future' });
      expect(await http.get('/a/inherited')).toMatchObject({ text: 'AController 2', cache: 'fwd=uri-miss' });
    });
  });

  it('answers when Redis is down', async () => {
    await using server = await RedisServer.start();
    await using http = await startHttp(framework, { url: server.url }, metadata, { budget: '250ms' }, versions);
    await http.get('/a/inherited');
    await server.kill();
    expect(await http.get('/a/inherited')).toMatchObject({ status: 200, text: 'AController 2' });
    expect(await http.get('/a/inherited', {}, 'HEAD')).toMatchObject({ status: 200 });
  });
});
