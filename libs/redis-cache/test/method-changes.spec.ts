import { jest } from '@jest/globals';
import {
  Controller,
  Get,
  Injectable,
  Logger,
  Param,
  Post,
  Scope,
  SetMetadata,
  type INestApplication,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import { InvalidKeyError, OptionsError, RedisModule, UnboundMethodError } from '@redstart/redis-core';
import { cluster, describeOn, eventually, RedisServer, standalone } from '@redstart/redis-testing';
import { AsyncLocalStorage } from 'node:async_hooks';
import { firstValueFrom, Observable, of, Subject } from 'rxjs';
import {
  Cacheable,
  CacheConfig,
  CacheEvict,
  CachePut,
  CacheService,
  provideNoopCache,
  RedisCacheModule,
} from '../src/index.js';
import { gate, hold, nowhere, startCache } from './app.js';

interface Flight {
  readonly id: string;
  readonly seats: number;
}

const tenants = new AsyncLocalStorage<string>();

/** The source of truth, and decorated methods around it. */
@Injectable()
class Flights {
  readonly stored = new Map<string, Flight>();
  reads = 0;

  @Cacheable({
    key: (id: string) => ['flight', id],
    tags: (id: string) => [['of flight', id]],
    resultTags: (flight: Flight | null) => (flight === null ? [] : [['seats', flight.seats]]),
    unless: (flight: Flight | null) => flight === null,
  })
  async find(id: string): Promise<Flight | null> {
    this.reads += 1;
    return Promise.resolve(this.stored.get(id) ?? null);
  }

  @CachePut({
    key: (flight: Flight) => ['flight', flight.id],
    tags: (flight: Flight) => [['of flight', flight.id]],
    unless: (flight: Flight) => flight.seats < 0,
  })
  async save(flight: Flight): Promise<Flight> {
    this.stored.set(flight.id, flight);
    return Promise.resolve(flight);
  }

  @CachePut({
    resultKey: ({ id }: Flight) => ['flight', id],
    condition: (seats: number) => seats > 0,
    resultTags: ({ id }: Flight) => [['of flight', id]],
  })
  async create(seats: number): Promise<Flight> {
    const flight = { id: `F${this.stored.size + 1}`, seats };
    this.stored.set(flight.id, flight);
    return Promise.resolve(flight);
  }

  @CacheEvict({ key: (id: string) => ['flight', id] })
  async change(id: string, seats: number): Promise<void> {
    this.stored.set(id, { id, seats });
    if (seats === 0) throw new Error('no seats');
    return Promise.resolve();
  }

  @CacheEvict({ key: (id: string) => ['flight', id], after: 'always' })
  async changeOrFail(id: string, seats: number): Promise<void> {
    this.stored.set(id, { id, seats });
    return Promise.reject(new Error('lost'));
  }

  @CacheEvict({ key: (id: string) => ['flight', id], before: true })
  async reread(id: string): Promise<Flight | null> {
    return this.find(id);
  }

  @CacheEvict({ tags: (seats: number) => [['seats', seats]] })
  @CacheEvict({
    resultKeys: (ids: string[]) => ids.map((id) => ['flight', id]),
    unless: (ids: string[]) => ids.length > 2,
    condition: (_seats: number, live: boolean) => live,
  })
  async removeAll(seats: number, _live: boolean, ids: string[]): Promise<string[]> {
    for (const [id, flight] of this.stored) if (flight.seats === seats) this.stored.delete(id);
    return Promise.resolve(ids);
  }

  @CacheEvict({ key: 'feed' })
  @CachePut({ key: 'last' })
  feed(source: Observable<number>): Observable<number> {
    return source;
  }
}

@CacheConfig({ namespace: 'users', ttl: '1h' })
@Injectable()
class Users {
  @Cacheable({ key: (id: string) => id })
  async find(id: string): Promise<string> {
    return Promise.resolve(id);
  }

  @Cacheable({ key: (id: string) => id, namespace: 'admins', ttl: '1m' })
  async admin(id: string): Promise<string> {
    return Promise.resolve(id);
  }

  @CachePut({ key: (id: string) => id })
  async rename(id: string, name: string): Promise<string> {
    return Promise.resolve(`${id} ${name}`);
  }

  @CacheEvict({ allEntries: true })
  async forgetAll(): Promise<void> {}
}

@CacheConfig({ ttl: '2h' })
@Injectable()
class Guests extends Users {}

@CacheConfig({ namespace: 'partners' })
@Injectable()
class Partners extends Users {}

@Injectable()
class Offers {
  calls = 0;
  readonly region = 'eu';

  @Cacheable({ varyBy: (offers: Offers) => [offers.region, tenants.getStore() ?? ''] })
  async mine(kind: string): Promise<string> {
    this.calls += 1;
    return Promise.resolve(`${kind} of ${tenants.getStore() ?? 'nobody'}`);
  }

  @Cacheable({ key: (id: string) => `offer:${id}`, varyBy: () => tenants.getStore() ?? '' })
  async one(id: string): Promise<string> {
    this.calls += 1;
    return Promise.resolve(`${id} of ${tenants.getStore() ?? 'nobody'}`);
  }

  @CacheEvict({ key: (id: string) => `offer:${id}`, varyBy: () => tenants.getStore() ?? '' })
  async change(_id: string): Promise<void> {}
}

@Controller()
class FlightController {
  constructor(private readonly flights: Flights) {}

  @CacheEvict({ key: (id: string) => ['flight', id] })
  @Post('above/:id')
  @SetMetadata('kept', true)
  async above(@Param('id') id: string): Promise<object> {
    return Promise.resolve({ id });
  }

  @SetMetadata('kept', true)
  @Post('below/:id')
  @CacheEvict({ key: (id: string) => ['flight', id] })
  async below(@Param('id') id: string): Promise<object> {
    return Promise.resolve({ id });
  }

  @Get(':id')
  async get(@Param('id') id: string): Promise<object | null> {
    return this.flights.find(id);
  }
}

describeOn(standalone, cluster)('methods that change what is cached', (redis) => {
  it('stores what a put returns, always runs it, and honours condition and unless', async () => {
    await using app = await startCache(redis.connection, {}, { providers: [Flights] });
    const flights = app.context.get(Flights);
    await flights.save({ id: 'A', seats: 1 });
    await flights.save({ id: 'A', seats: 2 });
    expect(await flights.find('A')).toEqual({ id: 'A', seats: 2 });
    await flights.save({ id: 'A', seats: -1 });
    expect(await flights.find('A')).toEqual({ id: 'A', seats: 2 });
    expect(flights.reads).toBe(0);
    expect(await flights.create(7)).toEqual({ id: 'F2', seats: 7 });
    expect(await flights.create(0)).toEqual({ id: 'F3', seats: 0 });
    expect(
      await app.cache.getMany([
        ['flight', 'F2'],
        ['flight', 'F3'],
      ]),
    ).toEqual([{ id: 'F2', seats: 7 }, undefined]);
    await app.cache.invalidateTags(['of flight', 'F2']);
    expect(await app.cache.has(['flight', 'F2'])).toBe(false);
  });

  it('keeps a load that is under way from overwriting what a put has stored', async () => {
    await using app = await startCache(redis.connection, {}, { providers: [Flights] });
    const flights = app.context.get(Flights);
    const old = gate<Flight>();
    const loading = app.cache.getOrSet(['flight', 'A'], () => old.opened);
    await eventually(() => app.cache.stats().loads === 1);
    await flights.save({ id: 'A', seats: 2 });
    old.open({ id: 'A', seats: 1 });
    await loading;
    expect(await app.cache.get(['flight', 'A'])).toEqual({ id: 'A', seats: 2 });
  });

  it('evicts when the method has resolved, not when it has rejected', async () => {
    await using app = await startCache(redis.connection, {}, { providers: [Flights] });
    const flights = app.context.get(Flights);
    await flights.save({ id: 'A', seats: 5 });
    await expect(flights.change('A', 0)).rejects.toThrow('no seats');
    expect(await flights.find('A')).toEqual({ id: 'A', seats: 5 });
    await flights.change('A', 4);
    expect(await flights.find('A')).toEqual({ id: 'A', seats: 4 });
  });

  it('evicts after a failure as well with always, and passes the failure on', async () => {
    await using app = await startCache(redis.connection, {}, { providers: [Flights] });
    const flights = app.context.get(Flights);
    await flights.save({ id: 'A', seats: 5 });
    await expect(flights.changeOrFail('A', 4)).rejects.toThrow('lost');
    expect(await flights.find('A')).toEqual({ id: 'A', seats: 4 });
  });

  it('evicts before the method runs where it says so', async () => {
    await using app = await startCache(redis.connection, {}, { providers: [Flights] });
    const flights = app.context.get(Flights);
    await flights.save({ id: 'A', seats: 5 });
    flights.stored.set('A', { id: 'A', seats: 3 });
    expect(await flights.reread('A')).toEqual({ id: 'A', seats: 3 });
  });

  it('evicts by tags and by what the result tells, several times on one method', async () => {
    await using app = await startCache(redis.connection, {}, { providers: [Flights] });
    const flights = app.context.get(Flights);
    for (const id of ['A', 'B', 'C']) flights.stored.set(id, { id, seats: id === 'A' ? 1 : 2 });
    const readAll = async () => {
      for (const id of ['A', 'B', 'C']) await flights.find(id);
      const reads = flights.reads;
      flights.reads = 0;
      return reads;
    };
    expect(await readAll()).toBe(3);
    await flights.removeAll(1, false, ['B']); // the tag only
    expect(await readAll()).toBe(1);
    await flights.removeAll(9, true, ['B', 'C']); // the keys only
    expect(await readAll()).toBe(3); // A is nowhere, and never cached
    await flights.removeAll(9, true, ['B', 'C', 'D']); // more than `unless` lets through
    expect(await readAll()).toBe(1);
  });

  it('takes the last value of an Observable, and evicts when its subscriber has left as well', async () => {
    await using app = await startCache(redis.connection, {}, { providers: [Flights] });
    const flights = app.context.get(Flights);
    const values: number[] = [];
    await flights.feed(of(1, 2, 3)).forEach((value) => values.push(value));
    expect(values).toEqual([1, 2, 3]);
    expect(await app.cache.get('last')).toBe(3);
    await app.cache.set('feed', 'old');
    const source = new Subject<number>();
    const first = firstValueFrom(flights.feed(source));
    await eventually(() => source.observed);
    source.next(4);
    expect(await first).toBe(4);
    await eventually(async () => (await app.cache.get('feed')) === undefined);
    expect(await app.cache.get('last')).toBe(3);
  });

  it('takes namespace and ttl from the class and its bases, unless the method says otherwise', async () => {
    await using app = await startCache(redis.connection, { jitter: 0 }, { providers: [Users, Guests, Partners] });
    const ttlOf = async (namespace: string, id: string) =>
      Math.ceil(((await app.cache.namespace(namespace).getEntry(id))?.ttl ?? 0) / 60_000);
    await app.context.get(Users).find('1');
    await app.context.get(Users).admin('1');
    await app.context.get(Users).rename('2', 'Ann');
    await app.context.get(Guests).find('3');
    await app.context.get(Partners).find('4');
    expect(await ttlOf('users', '1')).toBe(60);
    expect(await ttlOf('admins', '1')).toBe(1);
    expect(await app.cache.namespace('users').get('2')).toBe('2 Ann');
    expect(await ttlOf('users', '3')).toBe(120);
    expect(await ttlOf('partners', '4')).toBe(60);
    await app.context.get(Guests).forgetAll();
    expect(await app.cache.namespace('users').getMany(['1', '2', '3'])).toEqual([undefined, undefined, undefined]);
    expect(await app.cache.namespace('partners').get('4')).toBe('4');
    expect(await app.cache.namespace('admins').get('1')).toBe('1');
  });

  it('tells callers apart by varyBy, and refuses a call for which there is nothing', async () => {
    await using app = await startCache(redis.connection, {}, { providers: [Offers] });
    const offers = app.context.get(Offers);
    const as = (tenant: string, id: string) =>
      tenants.run(tenant, async () => [await offers.mine(id), await offers.one(id)]);
    for (const tenant of ['a', 'b', 'a:b', 'a']) {
      expect(await as(tenant, 'x')).toEqual([`x of ${tenant}`, `x of ${tenant}`]);
    }
    expect(offers.calls).toBe(6);
    expect(await redis.client().exists('shop:cache:{offer:x:a}')).toBe(1);
    await expect(offers.one('x')).rejects.toThrow(InvalidKeyError);
    await tenants.run('a', () => offers.change('x'));
    expect(await redis.client().exists('shop:cache:{offer:x:a}')).toBe(0);
    expect(await redis.client().exists('shop:cache:{offer:x:b}')).toBe(1);
  });

  it('works above and below @Post, and leaves metadata as they are', async () => {
    const module = await Test.createTestingModule({
      imports: [
        RedisModule.forRoot({ namespace: 'shop', ...redis.connection }),
        RedisCacheModule.forRoot({ budget: '10s' }),
      ],
      controllers: [FlightController],
      providers: [Flights],
    }).compile();
    const app: INestApplication = module.createNestApplication();
    await app.listen(0, '127.0.0.1');
    try {
      const url = await app.getUrl();
      const flights = app.get(Flights);
      for (const [reads, path] of ['above', 'below'].entries()) {
        await flights.save({ id: 'A', seats: 1 });
        expect((await fetch(`${url}/${path}/A`, { method: 'POST' })).status).toBe(201);
        expect(await (await fetch(`${url}/A`)).json()).toEqual({ id: 'A', seats: 1 });
        expect(flights.reads).toBe(reads + 1);
        const handler: unknown = Reflect.get(FlightController.prototype, path);
        expect(app.get(Reflector).get('kept', handler as () => void)).toBe(true);
      }
    } finally {
      await app.close();
    }
  });

  it('waits for the eviction before the call resolves', async () => {
    await using app = await startCache(redis.connection, {}, { providers: [Flights] });
    const flights = app.context.get(Flights);
    const operations: string[] = [];
    using held = hold(app, 'requests', 'cache.delete');
    const changing = flights.change('A', 1).then(() => operations.push('resolved'));
    await eventually(() => held.count === 1);
    operations.push('released');
    held.release();
    await changing;
    expect(operations).toEqual(['released', 'resolved']);
  });
});

describe('when Redis is down', () => {
  it('lets the methods succeed, and makes good what they could not change', async () => {
    await using server = await RedisServer.start();
    const connection = { url: server.url };
    await using other = await startCache(connection, {}, { providers: [Flights] });
    await using app = await startCache(connection, { budget: '500ms' }, { providers: [Flights] });
    const flights = app.context.get(Flights);
    await other.cache.set(['flight', 'A'], { id: 'A', seats: 1 }, { ttl: '1h' });
    await other.cache.set(['flight', 'B'], { id: 'B', seats: 1 }, { ttl: '1h' });
    server.pause();
    try {
      await flights.change('A', 2);
      expect(await flights.save({ id: 'B', seats: 2 })).toEqual({ id: 'B', seats: 2 });
      expect(await flights.find('A')).toEqual({ id: 'A', seats: 2 });
    } finally {
      server.resume();
    }
    await eventually(
      async () => {
        expect(await other.cache.get(['flight', 'A'])).toBeUndefined();
        expect(await other.cache.get(['flight', 'B'])).not.toEqual({ id: 'B', seats: 1 });
      },
      { within: 30_000 },
    );
    // What was given up has reached Redis all the same when it went on, and is told again a little later.
    await eventually(() => app.cache.stats().madeGood > 0, { within: 30_000 });
  });
});

describeOn(standalone)('a method that has done its work, and about whose result something is wrong', (redis) => {
  const wrong = (): never => {
    throw new Error('wrong');
  };

  @Injectable()
  class Seats {
    @Cacheable({ key: 'seats' })
    async find(): Promise<string> {
      return Promise.resolve('old');
    }

    @CachePut({ key: 'seats' })
    async unreadable(): Promise<object> {
      return Promise.resolve({ toJSON: wrong });
    }

    @CachePut({ key: 'seats', tags: Array.from({ length: 101 }, (_, tag) => `${tag}`) })
    async tooManyTags(): Promise<string> {
      return Promise.resolve('new');
    }

    @CachePut({ key: 'seats', resultTags: wrong })
    async wrongPut(): Promise<string> {
      return Promise.resolve('new');
    }

    @CacheEvict({ key: 'seats', resultTags: wrong })
    async wrongEviction(): Promise<string> {
      return Promise.resolve('new');
    }
  }

  it.each([
    ['unreadable', undefined],
    ['tooManyTags', OptionsError],
    ['wrongPut', 'wrong'],
    ['wrongEviction', 'wrong'],
  ] as const)('leaves nothing of what was there before: %s', async (method, error) => {
    const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    await using app = await startCache(redis.connection, {}, { providers: [Seats] });
    const seats = app.context.get(Seats);
    expect(await seats.find()).toBe('old');
    const call = seats[method]();
    await (error === undefined ? expect(call).resolves.toBeDefined() : expect(call).rejects.toThrow(error));
    expect(await app.cache.get('seats')).toBeUndefined();
    warn.mockRestore();
  });
});

describeOn(standalone)('results that are too large', (redis) => {
  it('deletes what was stored before a result that can’t be', async () => {
    await using app = await startCache(redis.connection, { maxValueBytes: 100 }, { providers: [Flights] });
    const flights = app.context.get(Flights);
    await flights.save({ id: 'A', seats: 1 });
    const large = { id: 'A', seats: 2, notes: 'x'.repeat(200) };
    expect(await flights.save(large)).toBe(large);
    expect(await app.cache.has(['flight', 'A'])).toBe(false);
  });

  it('knows of a wrong key before the method has done anything', async () => {
    await using app = await startCache(redis.connection, {}, { providers: [Flights] });
    const flights = app.context.get(Flights);
    await expect(flights.save({ id: Symbol('x') as unknown as string, seats: 1 })).rejects.toThrow(InvalidKeyError);
    await expect(flights.change('\ud800', 1)).rejects.toThrow(InvalidKeyError);
    expect(flights.stored.size).toBe(0);
  });
});

describe('boot of methods that change what is cached', () => {
  it.each([CachePut({ key: 'a' }), CacheEvict({ key: 'a' })])(
    'names class and module when it is forgotten',
    async (decorate) => {
      @Injectable()
      class Forgetful {
        async change(): Promise<void> {
          return Promise.resolve();
        }
      }
      const descriptor = Object.getOwnPropertyDescriptor(Forgetful.prototype, 'change') ?? {};
      decorate(Forgetful.prototype, 'change', descriptor);
      Object.defineProperty(Forgetful.prototype, 'change', descriptor);
      const forgotten = Test.createTestingModule({
        imports: [RedisModule.forRoot({ namespace: 'shop', ...nowhere() })],
        providers: [Forgetful],
      }).compile();
      await expect(forgotten).rejects.toThrow(/Forgetful[^]*CacheService \(import RedisCacheModule\.forRoot\(\)\)/);
    },
  );

  it('refuses calls on instances that Nest did not build', async () => {
    const flights = new Flights();
    await expect(flights.save({ id: 'A', seats: 1 })).rejects.toThrow(UnboundMethodError);
    await expect(flights.change('A', 1)).rejects.toThrow(UnboundMethodError);
    expect(flights.stored.size).toBe(0);
  });

  it('refuses wrong options where they are written', () => {
    // What a caller without types may write.
    const put = (options: object) => () => CachePut(options);
    const evict = (options: object) => () => CacheEvict(options);
    expect(put({})).toThrow(/needs a key, or a resultKey/);
    expect(put({ key: 'a', resultKey: () => 'a' })).toThrow(/needs a key, or a resultKey/);
    expect(put({ key: 'a', ttl: 'soon' })).toThrow(/@CachePut\.ttl/);
    expect(put({ key: 'a', after: 'always' })).toThrow(/@CachePut\.after/);
    expect(evict({})).toThrow(/says nothing to evict/);
    expect(evict({ allEntries: false })).toThrow(/says nothing to evict/);
    expect(evict({ key: 'a', before: true, after: 'success' })).toThrow(/@CacheEvict\.before/);
    expect(evict({ keys: 'a' })).toThrow(InvalidKeyError);
    expect(evict({ kye: 'a' })).toThrow(/not an option/);
    expect(put({ key: 'a', sliding: 'yes' })).toThrow(/@CachePut\.sliding: got "yes"/);
    for (const key of ['', [], {}, null]) {
      for (const written of [put({ key }), evict({ key }), () => Cacheable({ key } as object)]) {
        expect(written).toThrow(InvalidKeyError);
      }
    }
    expect(() => CacheConfig({ namespace: '' })).toThrow(OptionsError);
    expect(() => Cacheable({ namespace: 'a::b' })).toThrow(OptionsError);
    expect(() => Cacheable({ refreshAhead: 3 })).toThrow(/@Cacheable\.refreshAhead/);
  });

  it('refuses a generator where it is written', () => {
    class Lists {
      async *all(): AsyncGenerator<number> {
        yield await Promise.resolve(1);
      }
    }
    const descriptor = Object.getOwnPropertyDescriptor(Lists.prototype, 'all') ?? {};
    for (const decorate of [Cacheable({ key: 'a' }), CachePut({ key: 'a' }), CacheEvict({ key: 'a' })]) {
      const untyped: (target: object, key: string, descriptor: PropertyDescriptor) => void = decorate;
      expect(() => {
        untyped(Lists.prototype, 'all', descriptor);
      }).toThrow(/Lists\.all: this method is a generator/);
    }
  });

  it('accepts a request-scoped class, and a controller’s method without parameters, with a varyBy', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class Mine {
      readonly user = 'ann';
      @Cacheable({ varyBy: (mine: Mine) => mine.user })
      async all(): Promise<string> {
        return Promise.resolve(this.user);
      }
    }
    @Controller()
    class MeController {
      @Get('me')
      @Cacheable({ varyBy: () => tenants.getStore() ?? '' })
      async me(): Promise<string> {
        return Promise.resolve('me');
      }
    }
    const app = await startCache(nowhere(), {}, { providers: [Mine], controllers: [MeController] });
    await app[Symbol.asyncDispose]();
  });

  it('accepts two classes of one name in two namespaces', async () => {
    const named = (namespace: string) => {
      @CacheConfig({ namespace })
      @Injectable()
      class Rates {
        @Cacheable()
        async of(id: string): Promise<string> {
          return Promise.resolve(id);
        }
      }
      return Rates;
    };
    const app = await startCache(nowhere(), {}, { providers: [named('a'), named('b')] });
    await app[Symbol.asyncDispose]();
    await expect(startCache(nowhere(), {}, { providers: [named('a'), named('a')] })).rejects.toThrow(
      /two classes called Rates/,
    );
  });

  it('lets methods just run with provideNoopCache', async () => {
    const module = await Test.createTestingModule({ providers: [Flights, Users, ...provideNoopCache()] }).compile();
    const flights = module.get(Flights);
    await flights.save({ id: 'A', seats: 1 });
    await flights.change('A', 2);
    expect(await flights.find('A')).toEqual({ id: 'A', seats: 2 });
    expect(await module.get(Users).find('1')).toBe('1');
    expect(await module.get(CacheService).get(['flight', 'A'])).toBeUndefined();
  });
});
