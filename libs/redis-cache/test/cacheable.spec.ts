import {
  Controller,
  Get,
  Headers,
  Inject,
  Injectable,
  Param,
  Query,
  Req,
  Module,
  Scope,
  SetMetadata,
  StreamableFile,
  UseGuards,
  type INestApplication,
  type ModuleMetadata,
} from '@nestjs/common';
import { REQUEST } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import {
  InvalidKeyError,
  MethodResultError,
  OptionsError,
  RedisModule,
  UnboundMethodError,
} from '@redstart/redis-core';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { Readable } from 'node:stream';
import { firstValueFrom, from, Observable, Subject } from 'rxjs';
import { Cacheable, CacheService, getCacheToken, provideNoopCache, RedisCacheModule } from '../src/index.js';
import { nowhere, startCache, type Connection } from './app.js';

@Injectable()
class Flights {
  calls: unknown[][] = [];

  @Cacheable({ key: (id: string) => ['flight', id], ttl: '1h' })
  async find(id: string, detail?: string): Promise<{ id: string } | null> {
    return this.#note(id, detail, { id });
  }

  @Cacheable()
  async search(...terms: unknown[]): Promise<string> {
    return this.#note(...terms, `${terms.length} terms`);
  }

  @Cacheable({ condition: (id: string) => id !== 'live', unless: (seats: number | null) => seats === null })
  async seats(id: string): Promise<number | null> {
    return this.#note(id, id === 'full' ? null : 9);
  }

  @Cacheable({ key: 'feed' })
  feed(): Observable<number> {
    this.calls.push(['feed']);
    return from([1, 2, 3]);
  }

  #note<T>(...call: [...unknown[], T]): Promise<T> {
    this.calls.push(call.slice(0, -1));
    return Promise.resolve(call.at(-1) as T);
  }
}

@Injectable()
class CharterFlights extends Flights {
  @Cacheable()
  override async search(...terms: unknown[]): Promise<string> {
    return `charter, ${await super.search(...terms)}`;
  }
}

@Injectable({ scope: Scope.REQUEST })
class Basket {
  static loads = 0;
  constructor(@Inject(REQUEST) private readonly request: { headers: Record<string, string> }) {}

  @Cacheable({ key: (user: string) => ['basket', user] })
  async of(user: string): Promise<string> {
    Basket.loads += 1;
    return Promise.resolve(`${user} by ${this.request.headers['x-user'] ?? ''}`);
  }
}

@Controller()
class FlightController {
  calls = 0;

  @Cacheable()
  @Get('below/:id')
  async below(@Param('id') id: string, @Query() query: object): Promise<object> {
    return Promise.resolve({ id, query, call: ++this.calls });
  }

  @Get('above/:id')
  @SetMetadata('kept', true)
  @Cacheable()
  async above(@Param('id') id: string): Promise<object> {
    return Promise.resolve({ id, call: ++this.calls });
  }

  @Get('request')
  @Cacheable()
  async whole(@Req() request: object): Promise<object> {
    return Promise.resolve({ seen: typeof request, call: ++this.calls });
  }
}

@Controller()
class BasketController {
  constructor(private readonly basket: Basket) {}

  @Get('basket')
  async mine(@Headers('x-user') user: string): Promise<string> {
    return this.basket.of(user);
  }
}

describeOn(standalone, cluster)('@Cacheable', (redis) => {
  it('caches under the given key', async () => {
    await using app = await startCache(redis.connection, {}, { providers: [Flights] });
    const flights = app.context.get(Flights);
    expect(await flights.find('BA1', 'full')).toEqual({ id: 'BA1' });
    expect(await flights.find('BA1', 'short')).toEqual({ id: 'BA1' });
    expect(flights.calls).toEqual([['BA1', 'full']]);
    expect(await app.cache.get(['flight', 'BA1'])).toEqual({ id: 'BA1' });
    expect(await redis.client().pttl('shop:cache:{flight:BA1}')).toBeGreaterThan(3_000_000);
    await app.cache.delete(['flight', 'BA1']);
    await flights.find('BA1');
    expect(flights.calls).toHaveLength(2);
  });

  it('tells calls apart by value and type without a key', async () => {
    await using app = await startCache(redis.connection, {}, { providers: [Flights] });
    const flights = app.context.get(Flights);
    const calls = [[], [undefined], [null], [1], ['1'], [1n], [[1]], [{ a: 1 }], [new Date(1)], ['x'.repeat(3_000)]];
    for (const terms of calls) await flights.search(...terms);
    for (const terms of calls) await flights.search(...terms);
    expect(flights.calls).toEqual(calls);
    await expect(flights.search(() => 1)).rejects.toThrow(InvalidKeyError);
    await expect(flights.search(new Subject())).rejects.toThrow(
      /Argument 0 of Flights.search .* an instance of a class/,
    );
  });

  it('keeps the methods of subclasses apart, also through super', async () => {
    await using app = await startCache(redis.connection, {}, { providers: [Flights, CharterFlights] });
    expect(await app.context.get(Flights).search('LHR')).toBe('1 terms');
    const charter = app.context.get(CharterFlights);
    expect(await charter.search('LHR')).toBe('charter, 1 terms');
    expect(await charter.search('LHR')).toBe('charter, 1 terms');
    expect(charter.calls).toEqual([['LHR']]);
    expect(await charter.find('BA1')).toEqual({ id: 'BA1' }); // inherited
  });

  it('honours condition and unless', async () => {
    await using app = await startCache(redis.connection, {}, { providers: [Flights] });
    const flights = app.context.get(Flights);
    for (const id of ['live', 'live', 'full', 'full', 'free', 'free']) await flights.seats(id);
    expect(flights.calls).toEqual([['live'], ['live'], ['full'], ['full'], ['free']]);
  });

  it('caches the last value of an Observable', async () => {
    await using app = await startCache(redis.connection, {}, { providers: [Flights] });
    const flights = app.context.get(Flights);
    const values: number[] = [];
    await flights.feed().forEach((value) => values.push(value));
    expect(values).toEqual([1, 2, 3]);
    expect(await firstValueFrom(flights.feed())).toBe(3);
    expect(flights.calls).toEqual([['feed']]);
  });

  it('does not let a subscriber that leaves fail those who share its load', async () => {
    const sources: Subject<number>[] = [];
    @Injectable()
    class Prices {
      @Cacheable({ key: 'price' })
      price(): Observable<number> {
        const source = new Subject<number>();
        sources.push(source);
        return source;
      }
    }
    await using app = await startCache(redis.connection, {}, { providers: [Prices] });
    const prices = app.context.get(Prices);
    const leaving = prices.price().subscribe();
    await eventually(() => sources.length === 1);
    const staying = firstValueFrom(prices.price());
    await eventually(() => app.cache.stats().misses === 2);
    leaving.unsubscribe();
    await eventually(() => sources.length === 2);
    sources[1]?.next(7);
    sources[1]?.complete();
    expect(await staying).toBe(7);
  });

  it('works on controllers, above and below @Get, and on request-scoped providers', async () => {
    await withHttp(
      redis.connection,
      { controllers: [FlightController, BasketController], providers: [Basket] },
      async (fetchJson) => {
        expect(await fetchJson('/below/1?day=2')).toEqual({ id: '1', query: { day: '2' }, call: 1 });
        expect(await fetchJson('/below/1?day=2')).toEqual({ id: '1', query: { day: '2' }, call: 1 });
        expect(await fetchJson('/below/1?day=3')).toMatchObject({ call: 2 });
        expect(await fetchJson('/above/1')).toEqual({ id: '1', call: 3 });
        expect(await fetchJson('/above/1')).toEqual({ id: '1', call: 3 });
        expect(await fetchJson('/request')).toMatchObject({ status: 500, title: 'Internal Server Error' });
        Basket.loads = 0;
        for (const user of ['ann', 'bob', 'ann']) expect(await fetchJson('/basket', user)).toBe(`${user} by ${user}`);
        expect(Basket.loads).toBe(2);
      },
    );
  });

  it('passes the options of a load on: null, stale values, schema', async () => {
    const texts: StandardSchemaV1<unknown, string> = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: (value) =>
          typeof value === 'string' ? { value: `${value}!` } : { issues: [{ message: 'no text' }] },
      },
    };
    @Injectable()
    class Loads {
      calls = 0;
      failing = false;

      @Cacheable({ key: 'null', nullTtl: false })
      async none(): Promise<null> {
        this.calls += 1;
        return Promise.resolve(null);
      }

      @Cacheable({ key: 'source', ttl: '1h', staleIfError: '1h' })
      async source(): Promise<string> {
        this.calls += 1;
        return this.failing ? Promise.reject(new Error('down')) : Promise.resolve('good');
      }

      @Cacheable({ key: 'early', ttl: '1h', staleWhileRevalidate: '1h' })
      async early(): Promise<number> {
        return Promise.resolve(++this.calls);
      }

      @Cacheable({ key: 'checked', schema: texts })
      async checked(): Promise<string> {
        this.calls += 1;
        return Promise.resolve('loaded');
      }
    }
    await using app = await startCache(redis.connection, {}, { providers: [Loads] });
    const loads = app.context.get(Loads);
    await loads.none();
    await loads.none();
    expect(loads.calls).toBe(2);

    await loads.source();
    await app.cache.markStale('source');
    loads.failing = true;
    expect(await loads.source()).toBe('good');
    expect(app.cache.stats().staleOnError).toBe(1);

    loads.calls = 0;
    await loads.early();
    await app.cache.markStale('early');
    expect(await loads.early()).toBe(1);
    await eventually(async () => (await loads.early()) === 2);

    loads.calls = 0;
    await app.cache.set('checked', 5);
    expect(await loads.checked()).toBe('loaded');
    expect(await loads.checked()).toBe('loaded!');
    expect(loads.calls).toBe(1);
  });

  it('refuses streams and async iterables, and lets go of what they read from', async () => {
    const opened: Readable[] = [];
    const open = () => {
      const stream = Readable.from(['a', 'b']);
      opened.push(stream);
      return stream;
    };
    @Injectable()
    class Files {
      @Cacheable({ key: 'file' })
      async file(): Promise<unknown> {
        return Promise.resolve(open());
      }

      @Cacheable({ key: 'download' })
      async download(): Promise<unknown> {
        return Promise.resolve(new StreamableFile(open()));
      }

      @Cacheable({ key: 'web' })
      async web(): Promise<unknown> {
        return Promise.resolve(Readable.toWeb(open()));
      }
    }
    await using app = await startCache(redis.connection, {}, { providers: [Files] });
    const files = app.context.get(Files);
    for (const method of ['file', 'download', 'web'] as const) {
      await expect(files[method]()).rejects.toThrow(MethodResultError);
      await expect(files[method]()).rejects.toThrow(/Files\.\w+ is decorated with @Cacheable, but returned a stream/);
    }
    await eventually(() => opened.length === 6 && opened.every(({ destroyed }) => destroyed));
    expect(app.cache.stats().loads).toBe(6);
    expect(await app.cache.getMany(['file', 'download', 'web'])).toEqual([undefined, undefined, undefined]);
  });

  it('binds to a cache by its name', async () => {
    @Injectable()
    class Sessions {
      @Cacheable({ cache: 'sessions' })
      async find(id: string): Promise<string> {
        return Promise.resolve(id);
      }
    }
    const other = RedisCacheModule.forRoot({ name: 'sessions', budget: '10s' });
    await using app = await startCache(redis.connection, {}, { imports: [other], providers: [Sessions] });
    await app.context.get(Sessions).find('a');
    expect(app.cache.stats().loads).toBe(0);
    expect(app.context.get<CacheService>(getCacheToken('sessions')).stats().loads).toBe(1);
    expect(await redis.client().exists('shop:cache@sessions:{Sessions:find:["a"]}')).toBe(1);
  });

  it('refuses instances that Nest did not build', async () => {
    await expect(new Flights().find('BA1')).rejects.toThrow(UnboundMethodError);
  });
});

describe('boot', () => {
  const boot = (metadata: ModuleMetadata) =>
    startCache(nowhere(), {}, metadata).then((app) => app[Symbol.asyncDispose]());

  it('names class and module when the module is forgotten', async () => {
    const forgotten = Test.createTestingModule({
      imports: [RedisModule.forRoot({ namespace: 'shop', ...nowhere() })],
      providers: [Flights],
    }).compile();
    await expect(forgotten).rejects.toThrow(/Flights[^]*CacheService \(import RedisCacheModule\.forRoot\(\)\)/);
  });

  it('refuses a request-scoped class without a key, also one that is so by its dependencies', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class Mine {
      @Cacheable()
      async all(id: string): Promise<string> {
        return Promise.resolve(id);
      }
    }
    await expect(boot({ providers: [Mine] })).rejects.toThrow(
      /@Cacheable on Mine\.all: has no key, but Mine is request-scoped/,
    );

    @Injectable()
    class Theirs {
      constructor(readonly basket: Basket) {}
      @Cacheable()
      async all(id: string): Promise<string> {
        return Promise.resolve(id);
      }
    }
    await expect(boot({ providers: [Basket, Theirs] })).rejects.toThrow(/Theirs is request-scoped/);
  });

  it('refuses a request-scoped guard without a key', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class OwnerGuard {
      @Cacheable()
      async canActivate(): Promise<boolean> {
        return Promise.resolve(true);
      }
    }
    @Controller()
    @UseGuards(OwnerGuard)
    class Guarded {
      @Get('mine')
      mine(): string {
        return 'mine';
      }
    }
    await expect(boot({ controllers: [Guarded] })).rejects.toThrow(/OwnerGuard is request-scoped/);
  });

  it('refuses a controller’s method without parameters and without a key, also an inherited one', async () => {
    class Base {
      @Get('me')
      @Cacheable()
      async me(): Promise<string> {
        return Promise.resolve('me');
      }
    }
    @Controller()
    class MeController extends Base {}
    await expect(boot({ controllers: [MeController] })).rejects.toThrow(
      /@Cacheable on MeController\.me: has no key, and the method no parameters/,
    );
  });

  it('accepts a method with defaults only, and one without parameters on a service', async () => {
    @Controller()
    class Paged {
      @Get('page')
      @Cacheable()
      async page(@Query('n') n = '1'): Promise<string> {
        return Promise.resolve(n);
      }
    }
    @Injectable()
    class Airports {
      @Cacheable()
      async all(): Promise<string[]> {
        return Promise.resolve([]);
      }
    }
    await expect(boot({ controllers: [Paged], providers: [Airports] })).resolves.toBeUndefined();
  });

  it('refuses two classes of one name whose entries would be mixed up', async () => {
    const named = () => {
      @Injectable()
      class Rates {
        @Cacheable()
        async of(id: string): Promise<string> {
          return Promise.resolve(id);
        }
      }
      return Rates;
    };
    await expect(boot({ providers: [named(), named()] })).rejects.toThrow(/two classes called Rates/);
  });

  it('refuses a class whose instances may differ, and would share their entries', async () => {
    @Injectable()
    class Users {
      @Cacheable()
      async find(id: number): Promise<number> {
        return Promise.resolve(id);
      }
    }
    @Injectable()
    class Guests {
      @Cacheable({ key: (id: number) => ['guest', id] })
      async find(id: number): Promise<number> {
        return Promise.resolve(id);
      }
    }
    @Module({})
    class Tenants {}
    const of = (tenant: string) => ({
      module: Tenants,
      providers: [Users, Guests, { provide: 'tenant', useValue: tenant }],
    });
    const twice = boot({ imports: [of('a'), of('b')] });
    await expect(twice).rejects.toThrow(/@Cacheable on Users\.find.*Users is provided twice/);
    await expect(boot({ providers: [Users, { provide: 'users', useClass: Users }] })).rejects.toThrow(/provided twice/);
    const one = of('a');
    await expect(boot({ imports: [one, one] })).resolves.toBeUndefined();
    const providers = [
      Users,
      { provide: 'users', useExisting: Users },
      Guests,
      { provide: 'guests', useClass: Guests },
    ];
    await expect(boot({ providers })).resolves.toBeUndefined();
    Injectable({ scope: Scope.TRANSIENT })(Users);
    await expect(boot({ providers: [Users] })).rejects.toThrow(/Users is transient/);
  });

  it('refuses wrong options where they are written', () => {
    // What a caller without types may write.
    const decorate = (options: object) => () => Cacheable(options);
    expect(decorate({ ttl: 'soon' })).toThrow(OptionsError);
    expect(decorate({ tll: 5 })).toThrow(/not an option/);
    expect(decorate({ sliding: 'x' })).toThrow(/@Cacheable\.sliding: got "x"/);
    expect(decorate({ schema: 5 })).toThrow(/@Cacheable\.schema: got a value of type number/);
  });

  it('lets methods just run with provideNoopCache', async () => {
    const module = await Test.createTestingModule({ providers: [Flights, ...provideNoopCache()] }).compile();
    const flights = module.get(Flights);
    await flights.find('BA1');
    await flights.find('BA1');
    expect(flights.calls).toHaveLength(2);
    expect(await module.get(CacheService).getEntry('x')).toBeUndefined();
  });
});

async function withHttp(
  connection: Connection,
  metadata: ModuleMetadata,
  run: (fetchJson: (path: string, user?: string) => Promise<unknown>) => Promise<void>,
): Promise<void> {
  const module = await Test.createTestingModule({
    imports: [RedisModule.forRoot({ namespace: 'shop', ...connection }), RedisCacheModule.forRoot({ budget: '10s' })],
    ...metadata,
  }).compile();
  const app: INestApplication = module.createNestApplication();
  app.useLogger(false);
  await app.listen(0, '127.0.0.1');
  const url = await app.getUrl();
  try {
    await run(async (path, user = '') => {
      const text = await (await fetch(`${url}${path}`, { headers: { 'x-user': user } })).text();
      return text.startsWith('{') ? (JSON.parse(text) as unknown) : text;
    });
  } finally {
    await app.close();
  }
}
