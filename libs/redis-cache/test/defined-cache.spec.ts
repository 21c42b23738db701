import { jest } from '@jest/globals';
import { Injectable, Module, type DynamicModule } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { OptionsError, type Key } from '@redstart/redis-core';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import {
  defineCache,
  getDefinedCacheToken,
  InjectCache,
  provideNoopCache,
  RedisCacheModule,
  type CacheOf,
  type CacheSource,
  type DefinedCache,
} from '../src/index.js';
import { gate, nowhere, startCache, type CacheApp } from './app.js';

interface Flight {
  id: string;
  airline: string;
  seats: number;
}

const flights = defineCache<string, Flight>('flights', {
  key: (id) => ['flight', id],
  ttl: '1m',
  nullTtl: '10s',
  tags: ({ airline }) => [['airline', airline]],
});

@Injectable()
class FlightRepository implements CacheSource<string, Flight> {
  readonly rows = new Map<string, Flight>();
  readonly load = jest.fn((id: string) => Promise.resolve(this.row(id)));
  readonly loadMany = jest.fn((ids: string[]) => Promise.resolve(ids.map((id) => this.row(id))));
  readonly write = jest.fn((id: string, flight: Flight) => {
    this.rows.set(id, flight);
  });

  row(id: string): Flight {
    return this.rows.get(id) ?? { id, airline: 'LH', seats: 0 };
  }
}

@Module({ providers: [FlightRepository], exports: [FlightRepository] })
class RepositoryModule {}

@Injectable()
class FlightService {
  constructor(@InjectCache(flights) readonly cache: CacheOf<typeof flights>) {}
}

const bound = (): DynamicModule =>
  RedisCacheModule.forFeature([
    {
      cache: flights,
      imports: [RepositoryModule],
      inject: [FlightRepository],
      useFactory: (repository: FlightRepository) => repository,
    },
  ]);

interface App extends CacheApp {
  readonly flights: DefinedCache<string, Flight>;
  readonly repository: FlightRepository;
}

describeOn(standalone, cluster)('a defined cache', (redis) => {
  let app: App;
  let other: App;
  const start = async (): Promise<App> => {
    const started = await startCache(
      redis.connection,
      { near: false },
      { imports: [bound()], providers: [FlightService] },
    );
    const { context } = started;
    return {
      ...started,
      flights: context.get(FlightService).cache,
      repository: context.get(FlightRepository, { strict: false }),
    };
  };
  beforeAll(async () => {
    app = await start();
    other = await start();
  });
  afterAll(async () => {
    await app[Symbol.asyncDispose]();
    await other[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    await app.flights.clear();
    app.repository.rows.clear();
    jest.clearAllMocks();
  });

  it('loads by what it is bound to, once, under its namespace, with its ttl and tags', async () => {
    app.repository.rows.set('LH1', { id: 'LH1', airline: 'LH', seats: 3 });
    const [one, two] = await Promise.all([app.flights.getOrSet('LH1'), app.flights.getOrSet('LH1')]);
    expect([one, two]).toEqual([app.repository.row('LH1'), app.repository.row('LH1')]);
    expect(await other.flights.getOrSet('LH1')).toEqual(one);
    expect(app.repository.load).toHaveBeenCalledTimes(1);
    expect(other.repository.load).not.toHaveBeenCalled();
    expect(await redis.client().pttl('shop:cache:flights:{flight:LH1}')).toBeLessThanOrEqual(60_000);
    expect(await app.flights.getEntry('LH1')).toMatchObject({ tags: ['airline:LH'], stale: false });
    await other.cache.invalidateTags(['airline', 'LH']);
    expect(await app.flights.get('LH1')).toBeUndefined();
    // Other tests and applications have namespaces of their own.
    expect(await app.cache.get(['flight', 'LH1'])).toBeUndefined();
  });

  it('reads many, and loads together those that are not there, in their order', async () => {
    await app.flights.set('b', { id: 'b', airline: 'LH', seats: 7 });
    const got = await app.flights.getOrSetMany(['a', 'b', 'c', 'a']);
    expect(got.map(({ id, seats }) => `${id}${seats}`)).toEqual(['a0', 'b7', 'c0', 'a0']);
    expect(app.repository.loadMany.mock.calls.map(([ids]) => ids)).toEqual([['a', 'c']]);
    expect((await other.flights.getMany(['c', 'd'])).map((flight) => flight?.id)).toEqual(['c', undefined]);
    expect(await app.flights.getEntry('c')).toMatchObject({ tags: ['airline:LH'] });
  });

  it('writes through: the store, then the cache', async () => {
    const flight = { id: 'LH1', airline: 'LH', seats: 9 };
    expect(await app.flights.write('LH1', flight)).toBe(true);
    expect(app.repository.write).toHaveBeenCalledWith('LH1', flight);
    expect(await other.flights.getOrSet('LH1')).toEqual(flight);
    expect(other.repository.load).not.toHaveBeenCalled();
    app.repository.write.mockImplementationOnce(() => {
      throw new Error('refused');
    });
    await expect(app.flights.write('LH1', { ...flight, seats: 1 }, { first: 'cache' })).rejects.toThrow('refused');
    expect(await app.flights.getOrSet('LH1')).toEqual(flight);
    expect(app.repository.load).toHaveBeenCalledTimes(1);
  });

  it('loads anew on demand, once for all who ask, and serves nothing older as fresh from then on', async () => {
    await app.flights.set('LH1', { id: 'LH1', airline: 'LH', seats: 1 });
    app.repository.rows.set('LH1', { id: 'LH1', airline: 'LH', seats: 2 });
    const loading = gate();
    app.repository.load.mockImplementationOnce(async (id) => {
      await loading.opened;
      return app.repository.row(id);
    });
    const refreshed = app.flights.refresh('LH1');
    await eventually(() => app.repository.load.mock.calls.length === 1);
    expect(await other.flights.get('LH1')).toBeUndefined();
    const waiting = other.flights.getOrSet('LH1');
    loading.open();
    expect([(await refreshed).seats, (await waiting).seats]).toEqual([2, 2]);
    expect(other.repository.load).not.toHaveBeenCalled();
  });

  it('loads anew one load at a time, never what may be older than the call, and stores each', async () => {
    const { load } = app.repository;
    const ends = [gate(), gate()];
    for (const { opened } of ends) {
      load.mockImplementationOnce(async (id) => {
        const row = app.repository.row(id);
        await opened;
        return row;
      });
    }
    const { staleLoads } = app.cache.stats();
    const seats = (count: number) => app.repository.rows.set('LH1', { id: 'LH1', airline: 'LH', seats: count });
    seats(1);
    const leaving = new AbortController();
    const gone = app.flights.refresh('LH1', { signal: leaving.signal });
    const first = [app.flights.refresh('LH1'), app.flights.refresh('LH1')];
    await eventually(() => load.mock.calls.length === 1);
    seats(2); // The load under way has missed it.
    const second = [app.flights.refresh('LH1')];
    await app.cache.has('anything'); // In another tick.
    second.push(app.flights.refresh('LH1'));
    leaving.abort(new Error('left'));
    await expect(gone).rejects.toThrow('left');
    expect(load).toHaveBeenCalledTimes(1);
    ends[0]?.open();
    expect((await Promise.all(first)).map((flight) => flight.seats)).toEqual([1, 1]);
    await eventually(() => load.mock.calls.length === 2);
    expect(await app.flights.get('LH1')).toBeUndefined();
    ends[1]?.open();
    const [one, two] = await Promise.all(second);
    expect([one?.seats, two?.seats, one === two]).toEqual([2, 2, false]);
    expect(load).toHaveBeenCalledTimes(2);
    expect(await other.flights.get('LH1')).toEqual(one);
    expect(app.cache.stats().staleLoads).toBe(staleLoads);
  });

  it('loads anew where what is stale would be served, and does not wait for ever for a load that does not end', async () => {
    const counts = defineCache<string, number>('counts', {
      key: (id) => id,
      staleWhileRevalidate: '1m',
      waitTimeout: '20ms',
    });
    let loads = 0;
    const never = gate();
    const load = async () => {
      loads += 1;
      const loaded = loads;
      if (loaded === 2) await never.opened;
      return loaded;
    };
    const imports = [RedisCacheModule.forFeature([{ cache: counts, useFactory: () => ({ load }) }])];
    await using started = await startCache(redis.connection, { near: false }, { imports });
    const defined: DefinedCache<string, number> = started.context.get(getDefinedCacheToken(counts));
    await defined.set('a', 0);
    expect(await defined.refresh('a')).toBe(1);
    const hung = defined.refresh('a');
    await eventually(() => loads === 2);
    expect(await defined.refresh('a')).toBe(3);
    never.open();
    await hung;
    expect(await defined.get('a')).toBe(3);
  });

  it('deletes, makes stale and ends the wait of one call', async () => {
    const flight = { id: 'LH1', airline: 'LH', seats: 1 };
    await app.flights.setMany([
      ['LH1', flight],
      ['LH2', { ...flight, id: 'LH2' }],
    ]);
    await other.flights.delete('LH1', 'LH2');
    expect(await app.flights.getMany(['LH1', 'LH2'])).toEqual([undefined, undefined]);
    await app.flights.set('LH1', flight);
    await other.flights.markStale('LH1');
    expect(await app.flights.get('LH1')).toBeUndefined();
    const signal = AbortSignal.abort(new Error('gone'));
    await expect(app.flights.getOrSet('LH9', { signal })).rejects.toThrow('gone');
    await expect(app.flights.getOrSetMany(['LH9'], { signal })).rejects.toThrow('gone');
  });

  it('takes a class, an existing provider, another cache, a schema, and any shape of an id', async () => {
    const schema: StandardSchemaV1<unknown, number> = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: (value) => (typeof value === 'number' ? { value } : { issues: [{ message: 'no number' }] }),
      },
    };
    const seats = defineCache('seats', { key: ({ id, row }: { id: string; row: number }): Key => [id, row], schema });
    const rows = defineCache<string, number>('rows', { key: (id) => id, cache: 'small' });
    @Injectable()
    class Seats {
      loadMany(places: { row: number }[]) {
        return places.map(({ row }) => row);
      }
    }
    class Rows {
      load = () => 30;
    }
    const imports = [
      RedisCacheModule.forRoot({ name: 'small', budget: '10s', lease: '60s', near: false }),
      RedisCacheModule.forFeature([
        { cache: seats, useClass: Seats },
        { cache: rows, useClass: Rows },
      ]),
    ];
    await using started = await startCache(redis.connection, {}, { imports });
    const definedSeats: DefinedCache<{ id: string; row: number }, number> = started.context.get(
      getDefinedCacheToken(seats),
    );
    const definedRows: DefinedCache<string, number> = started.context.get(getDefinedCacheToken(rows));
    // Without load, loadMany loads single ones, too.
    expect(await definedSeats.getOrSet({ id: 'LH1', row: 7 })).toBe(7);
    await started.cache.namespace('seats').set(['LH1', 7], 'no number');
    expect(await definedSeats.get({ id: 'LH1', row: 7 })).toBeUndefined();
    expect(await definedRows.getOrSetMany(['a', 'b'])).toEqual([30, 30]); // one by one, without loadMany
    expect(await redis.client().exists('shop:cache@small:rows:{a}')).toBe(1);
    await expect(definedRows.write('a', 1)).rejects.toThrow(/bound without write/);
  });
});

it('asks its source each time in unit tests without Redis', async () => {
  const load = jest.fn((id: string) => ({ id, airline: 'LH', seats: 1 }));
  const write = jest.fn(() => undefined);
  const module = await Test.createTestingModule({
    providers: [FlightService, ...provideNoopCache(flights, { load, write })],
  }).compile();
  const { cache } = module.get(FlightService);
  expect([await cache.getOrSet('a'), await cache.getOrSet('a')]).toEqual([load('a'), load('a')]);
  expect(await cache.write('a', load('a'))).toBe(false);
  expect(write).toHaveBeenCalledTimes(1);
  await module.close();
});

describe('what is bound wrongly', () => {
  const boot = async (...imports: NonNullable<Parameters<typeof startCache>[2]>['imports'] & unknown[]) => {
    const app = await startCache(nowhere(), {}, { imports, providers: [] });
    await app[Symbol.asyncDispose]();
  };
  const load = { useFactory: () => ({ load: () => ({ id: '', airline: '', seats: 0 }) }) };

  it('names what to import where forFeature is missing', async () => {
    const started = startCache(nowhere(), {}, { providers: [FlightService] });
    await expect(started).rejects.toThrow(
      /DefinedCache "flights" \(import RedisCacheModule\.forFeature\(\[\{ cache: flights/,
    );
    await expect(
      startCache(nowhere(), {}, { providers: [{ provide: 'x', useFactory: () => 1, inject: [flights.token] }] }),
    ).rejects.toThrow(/forFeature/);
  });

  it('refuses a cache that is bound twice', async () => {
    expect(() =>
      RedisCacheModule.forFeature([
        { cache: flights, ...load },
        { cache: flights, ...load },
      ]),
    ).toThrow(/flights.*bound twice/);
    const twice = boot(RedisCacheModule.forFeature([{ cache: flights, ...load }]), bound());
    await expect(twice).rejects.toThrow(/"flights": is bound by two modules\. Bind it in one/);
  });

  it('refuses two definitions of one name', async () => {
    const impostor = defineCache<string, Flight>('flights', { key: (id) => id });
    const both = boot(RedisCacheModule.forFeature([{ cache: impostor, ...load }]), bound());
    await expect(both).rejects.toThrow(/two definitions of the name "flights".*name of its own/);
    const elsewhere = defineCache<string, Flight>('flights', { key: (id) => id, cache: 'other' });
    await boot(
      RedisCacheModule.forRoot({ name: 'other' }),
      RedisCacheModule.forFeature([
        { cache: elsewhere, ...load },
        { cache: flights, ...load },
      ]),
    );
  });

  it('names the cache that is missing', async () => {
    const elsewhere = defineCache<string, Flight>('flights', { key: (id) => id, cache: 'other' });
    await expect(boot(RedisCacheModule.forFeature([{ cache: elsewhere, ...load }]))).rejects.toThrow(
      /import RedisCacheModule\.forRoot\(\{ name: 'other' \}\)/,
    );
  });

  it.each([
    ['nothing to load by', () => ({ write: () => undefined }), /"flights": is bound to something without load/],
    ['what is no function', () => ({ load: 1 }), /"flights"\.load: got a value of type number/],
    ['nothing', () => undefined, /"flights": is bound to something without load/],
  ])('refuses %s', async (_, useFactory: () => unknown, message) => {
    const wrong = { cache: flights, useFactory: useFactory as () => { load: () => Flight } };
    await expect(boot(RedisCacheModule.forFeature([wrong]))).rejects.toThrow(message);
  });

  it('refuses wrong options where they were written', () => {
    const key = (id: string) => id;
    expect(() => defineCache('', { key })).toThrow(OptionsError);
    expect(() => defineCache('a::b', { key })).toThrow(/empty part/);
    expect(() => defineCache('a', { key: 'x' as never })).toThrow(/defineCache\('a'\)\.key/);
    expect(() => defineCache('a', { key, ttl: '0s' })).toThrow(/defineCache\('a'\)\.ttl/);
    expect(() => defineCache('a', { key, tags: 'x' as never })).toThrow(/defineCache\('a'\)\.tags/);
    expect(() => defineCache('a', { key, sliding: 1 as never })).toThrow(/defineCache\('a'\)\.sliding/);
    expect(() => defineCache('a', { key, schema: {} as never })).toThrow(/defineCache\('a'\)\.schema/);
    expect(() => RedisCacheModule.forFeature([{ cache: undefined, ...load } as never])).toThrow(/import each other/);
    expect(() => defineCache('a', { key, until: 1 } as never)).toThrow(/until: is not an option/);
    expect(() => RedisCacheModule.forFeature([{ cache: flights }])).toThrow(/got 0 of useFactory/);
    expect(() => RedisCacheModule.forFeature([{ cache: flights, ...load, extra: 1 } as never])).toThrow(/extra/);
  });
});
