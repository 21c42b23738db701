import { Injectable } from '@nestjs/common';
import { KeySpace, OptionsError } from '@redstart/redis-core';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import {
  Cacheable,
  CacheConfig,
  CacheEvict,
  CachePut,
  defineCache,
  getDefinedCacheToken,
  RedisCacheModule,
  type CacheService,
  type CacheVersion,
  type DefinedCache,
} from '../src/index.js';
import { CacheKeys } from '../src/keys.js';
import { nowhere, startCache, type CacheApp } from './app.js';
import { nearTiersHaveHeard } from './near-barrier.js';

/** What `{ name: 'Kim' }` was before. */
@CacheConfig({ namespace: 'users', version: 1 })
@Injectable()
class UsersBefore {
  @Cacheable({ key: (id: string) => id })
  async find(id: string): Promise<unknown> {
    return Promise.resolve(`user ${id}`);
  }
}

@CacheConfig({ namespace: 'users', version: 2 })
@Injectable()
class Users {
  loads = 0;

  @Cacheable({ key: (id: string) => id })
  async find(id: string): Promise<unknown> {
    this.loads += 1;
    return Promise.resolve({ name: id });
  }

  @Cacheable({ key: (id: string) => id, version: 3 })
  async findAnew(id: string): Promise<unknown> {
    return Promise.resolve([id]);
  }

  @CachePut({ key: (id: string) => id })
  async rename(_id: string, name: string): Promise<unknown> {
    return Promise.resolve({ name });
  }

  @CacheEvict({ key: (id: string) => id })
  async forget(_id: string): Promise<void> {
    return Promise.resolve();
  }
}

describeOn(standalone, cluster)('versions of values', (redis) => {
  let before: CacheApp;
  let after: CacheApp;
  beforeAll(async () => {
    before = await startCache(redis.connection, { version: 1 });
    after = await startCache(redis.connection, { version: 'two' });
  });
  afterAll(async () => {
    await before[Symbol.asyncDispose]();
    await after[Symbol.asyncDispose]();
  });

  const ofTheModule = (): [CacheService, CacheService, string] => [before.cache, after.cache, 'shop:cache::two:{a}'];
  const ofANamespace = (): [CacheService, CacheService, string] => [
    before.cache.namespace('flights', { version: 1 }),
    before.cache.namespace('flights', { version: 2 }),
    'shop:cache::1:flights::2:{a}',
  ];

  describe.each([
    ['the module', ofTheModule],
    ['a namespace', ofANamespace],
  ])('of %s', (_, caches) => {
    it('do not see what others have stored, changed or deleted', async () => {
      const [old, young, key] = caches();
      await old.set('a', 'old');
      expect(await young.get('a')).toBeUndefined();
      expect(await young.getOrSet('a', () => 'young')).toBe('young');
      expect(await redis.client().exists(key)).toBe(1);
      expect(await old.get('a')).toBe('old');
      await young.delete('a');
      expect(await young.deleteByPrefix('a')).toBe(0);
      expect(await old.get('a')).toBe('old');
      await young.set('a', 'young');
      expect(await old.deleteByPrefix('a')).toBe(1);
      expect(await young.get('a')).toBe('young');
    });

    it('have tags in common, also during a load', async () => {
      const [old, young] = caches();
      await old.set('a', 'old', { tags: ['flights'] });
      await young.getOrSet('a', () => 'young', { tags: ['flights'] });
      await old.set('b', 'stays');
      await nearTiersHaveHeard(redis.client());
      await young.invalidateTags('flights');
      await nearTiersHaveHeard(redis.client());
      expect([await old.get('a'), await young.get('a'), await old.get('b')]).toEqual([undefined, undefined, 'stays']);
      const outdated = await old.getOrSet(
        'a',
        async () => {
          await young.invalidateTags('flights');
          return 'read before';
        },
        { tags: ['flights'] },
      );
      expect([outdated, await old.get('a')]).toEqual(['read before', undefined]);
    });

    it('are cleared together', async () => {
      const [old, young] = caches();
      await Promise.all([old.set('a', 'old'), young.set('a', 'young')]);
      await old.namespace('inner').set('a', 'inner');
      await young.clear();
      await nearTiersHaveHeard(redis.client());
      expect(await old.get('a')).toBeUndefined();
      expect(await young.get('a')).toBeUndefined();
      expect(await old.namespace('inner').get('a')).toBeUndefined();
    });
  });

  it('change no key where there are none, and clear() of all reaches those that have one', async () => {
    await using plain = await startCache(redis.connection);
    await plain.cache.set('a', 'plain');
    await after.cache.set('a', 'young');
    expect(await redis.client().exists('shop:cache:{a}')).toBe(1);
    expect(await plain.cache.get('a')).toBe('plain');
    await plain.cache.clear();
    await eventually(async () => (await after.cache.get('a')) === undefined);
  });

  it('are named by the decorators of a class, and by one of them', async () => {
    await using app = await startCache(redis.connection, {}, { providers: [UsersBefore, Users] });
    const users = app.context.get(Users);
    expect(await app.context.get(UsersBefore).find('Kim')).toBe('user Kim');
    expect(await users.find('Kim')).toEqual({ name: 'Kim' });
    expect(await users.findAnew('Kim')).toEqual(['Kim']);
    await users.rename('Kim', 'Kit');
    expect(await users.find('Kim')).toEqual({ name: 'Kit' });
    await users.forget('Kim');
    expect(await users.find('Kim')).toEqual({ name: 'Kim' });
    expect(users.loads).toBe(2);
    expect(await app.context.get(UsersBefore).find('Kim')).toBe('user Kim');
    expect(await redis.client().exists('shop:cache:users::3:{Kim}')).toBe(1);
  });

  it('are named by the definition of a cache', async () => {
    const definitionOf = (version?: CacheVersion) =>
      defineCache<string, string>('flights', { key: (id) => id, ...(version === undefined ? {} : { version }) });
    const start = async (version?: CacheVersion) => {
      const flights = definitionOf(version);
      const load = (id: string) => `${id} of ${version ?? 'none'}`;
      const imports = [RedisCacheModule.forFeature([{ cache: flights, useFactory: () => ({ load }) }])];
      const app = await startCache(redis.connection, {}, { imports });
      const cache = app.context.get<DefinedCache<string, string>>(getDefinedCacheToken(flights), { strict: false });
      return Object.assign(app, { flights: cache });
    };
    await using none = await start();
    await using second = await start(2);
    expect(await none.flights.getOrSet('a')).toBe('a of none');
    expect(await second.flights.getOrSet('a')).toBe('a of 2');
    expect(await redis.client().exists('shop:cache:flights:{a}')).toBe(1);
    expect(await redis.client().exists('shop:cache:flights::2:{a}')).toBe(1);
    await second.flights.clear();
    await eventually(async () => (await none.flights.get('a')) === undefined);
  });
});

describe('a version in the keys', () => {
  const keys = CacheKeys.of(new KeySpace('shop'), 'default');

  it('is nowhere but in those of values and their leases', () => {
    const plain = keys.namespace('flights');
    const versioned = keys.versioned(4).namespace('flights', { version: 2 });
    const entry = versioned.entry('LH1');
    expect([entry.value, entry.lease]).toEqual([
      'shop:cache::4:flights::2:{LH1}',
      'shop:cache-lease::4:flights::2:{LH1}',
    ]);
    expect(entry.pending).toBe('shop:cache:flights:{LH1}:pending');
    expect(plain.entry('LH1').pending).toBe(entry.pending);
    expect(versioned.versions).toEqual(['shop:cache:version', 'shop:cache:flights:version']);
    expect(versioned.tag('LH').key).toBe(keys.tag('LH').key);
    expect(versioned.coherence().prefix).toBe('shop:cache:');
    expect(versioned.textOf(entry.value)).toBe('LH1');
    expect(plain.textOf(entry.value)).toBeUndefined();
  });

  it('is the same as a number and as a word, and never the name of a namespace', () => {
    expect(keys.versioned('2').entry('a').value).toBe(keys.versioned(2).entry('a').value);
    expect(() => keys.namespace(':2')).toThrow(OptionsError);
    expect(() => keys.namespace('a::2')).toThrow(OptionsError);
  });

  it.each([[0], [-1], [1.5], [NaN], [''], ['a:b'], ['{a}'], ['x'.repeat(33)], [null], [{}], [true], [2n]])(
    'refuses %p where it is written',
    async (version) => {
      const wrong = version as CacheVersion;
      const expected = /version: got .*expected a positive integer, or up to 32 letters/;
      expect(() => RedisCacheModule.forRoot({ version: wrong })).toThrow(expected);
      expect(() => defineCache('flights', { key: (id: string) => id, version: wrong })).toThrow(expected);
      expect(() => CacheConfig({ version: wrong })).toThrow(expected);
      expect(() => Cacheable({ version: wrong })).toThrow(expected);
      expect(() => CachePut({ key: 'a', version: wrong })).toThrow(expected);
      expect(() => CacheEvict({ key: 'a', version: wrong })).toThrow(expected);
      await expect(startCache(nowhere(), { version: wrong })).rejects.toThrow(expected);
      expect(() => keys.namespace('flights', { version: wrong })).toThrow(expected);
    },
  );

  it('refuses what is no option of a namespace', () => {
    expect(() => keys.namespace('flights', { verison: 2 } as object)).toThrow(/namespace\.verison.*not an option/);
  });
});
