import { jest } from '@jest/globals';
import { Inject, Injectable, Module } from '@nestjs/common';
import { Cache as CacheToken, CACHE_MANAGER, type Cache } from '@nestjs/cache-manager';
import { Test } from '@nestjs/testing';
import { createCache, type Cache as ManagerCache } from 'cache-manager';
import { OptionsError, RedisModule, RedisUnavailableError } from '@redstart/redis-core';
import { cluster, describeOn, eventually, RedisServer, standalone } from '@redstart/redis-testing';
import { CacheModule, RedisCacheManager } from '../../src/cache-manager/index.js';
import { RedisCacheModule } from '../../src/index.js';
import { gate, nowhere, startCache, type CacheApp, type Connection } from '../app.js';

interface ManagerApp extends CacheApp {
  readonly manager: RedisCacheManager;
}

async function startManager(
  connection: Connection,
  options: Parameters<typeof CacheModule.register>[0] = {},
  cacheOptions: Parameters<typeof startCache>[1] = {},
): Promise<ManagerApp> {
  const app = await startCache(connection, cacheOptions, { imports: [CacheModule.register(options)] });
  return { ...app, manager: app.context.get<RedisCacheManager>(CACHE_MANAGER) };
}

const second = 1_000;

describeOn(standalone, cluster)('CACHE_MANAGER on the cache', (redis) => {
  /** Both for one promise: what cache-manager does with a store of its own is what its users rely on. */
  it.each([
    ['of cache-manager', false],
    ['of Redstart', true],
  ])('answers as the one %s does', async (_, ours) => {
    await using app = await startManager(redis.connection);
    const cache: ManagerCache = ours ? app.manager : createCache();

    expect(await cache.get('a')).toBeUndefined();
    expect(await cache.ttl('a')).toBeUndefined();
    expect(await cache.set('a', { id: 1 }, 60 * second)).toEqual({ id: 1 });
    expect(await cache.get('a')).toEqual({ id: 1 });
    expect(await cache.ttl('a')).toBeGreaterThan(Date.now() + 30 * second);
    expect(await cache.ttl('a')).toBeLessThanOrEqual(Date.now() + 61 * second);
    expect(await cache.set('null', null)).toBeNull();
    expect(await cache.get('null')).toBeNull();
    await cache.set('undefined', undefined);
    expect(await cache.get('undefined')).toBeUndefined();
    for (const value of [0, false, '']) {
      await cache.set('falsy', value);
      expect(await cache.get('falsy')).toBe(value);
    }

    const list = [
      { key: 'b', value: 2 },
      { key: 'c', value: 3, ttl: 60 * second },
    ];
    expect(await cache.mset(list)).toMatchObject(list);
    expect(await cache.mget(['c', 'nothing', 'b', 'null'])).toEqual([3, undefined, 2, null]);
    expect(await cache.del('b')).toBe(true);
    expect(await cache.del('b')).toBe(true);
    expect(await cache.mdel(['c', 'nothing'])).toBe(true);
    expect(await cache.mget(['b', 'c'])).toEqual([undefined, undefined]);
    expect(await cache.clear()).toBe(true);
    expect(await cache.get('a')).toBeUndefined();
    expect(typeof cache.cacheId()).toBe('string');
    await cache.disconnect();
    await cache.set('a', 1);
  });

  it.each([
    ['of cache-manager', false],
    ['of Redstart', true],
  ])('wraps a function as the one %s does', async (_, ours) => {
    await using app = await startManager(redis.connection);
    const cache: ManagerCache = ours ? app.manager : createCache();
    const load = jest.fn(() => Promise.resolve<unknown>({ id: 1 }));

    const all = await Promise.all(Array.from({ length: 20 }, () => cache.wrap('a', load, 60 * second)));
    expect(all).toEqual(Array(20).fill({ id: 1 }));
    expect(load).toHaveBeenCalledTimes(1);
    expect(await cache.wrap('a', load)).toEqual({ id: 1 });
    expect(load).toHaveBeenCalledTimes(1);

    const ttlOf = jest.fn((value: unknown) => (value === 7 ? 60 * second : second));
    expect(await cache.wrap('by value', () => 7, ttlOf)).toBe(7);
    expect(ttlOf).toHaveBeenCalledWith(7);
    expect(await cache.ttl('by value')).toBeGreaterThan(Date.now() + 30 * second);

    const raw = await cache.wrap('raw', () => 'x', { ttl: 60 * second, raw: true });
    expect(raw).toMatchObject({ value: 'x' });
    expect(raw?.expires).toBeGreaterThan(Date.now() + 30 * second);
    expect(await cache.wrap('raw', load, { raw: true })).toMatchObject({ value: 'x' });

    const nothing = jest.fn(() => null);
    expect(await cache.wrap('null', nothing, 60 * second)).toBeNull();
    expect(await cache.wrap('null', nothing)).toBeNull();
    expect(nothing).toHaveBeenCalledTimes(1);
    expect(await cache.ttl('null')).toBeGreaterThan(Date.now() + 30 * second);
    const undef = jest.fn(() => undefined);
    await cache.wrap('undefined', undef);
    await cache.wrap('undefined', undef);
    expect(undef).toHaveBeenCalledTimes(2);

    await expect(cache.wrap('failing', () => Promise.reject(new Error('no source')))).rejects.toThrow('no source');
    expect(await cache.wrap('failing', () => 'now')).toBe('now');
  });

  it.each([
    ['of cache-manager', false],
    ['of Redstart', true],
  ])('loads anew in the background below the refreshThreshold, as the one %s does', async (_, ours) => {
    await using app = await startManager(redis.connection, {}, { jitter: 0 });
    const cache: ManagerCache = ours ? app.manager : createCache();
    const refreshed = jest.fn();
    cache.on('refresh', refreshed);
    const hour = 3_600 * second;
    let version = 0;
    const load = jest.fn(() => Promise.resolve((version += 1)));

    expect(await cache.wrap('a', load, hour, 60 * second)).toBe(1);
    expect(await cache.wrap('a', load, hour, 60 * second)).toBe(1);
    expect(load).toHaveBeenCalledTimes(1);
    // A value of an hour has less than that left after a moment, so it is due; it is served all the same.
    await eventually(async () => {
      await cache.wrap('a', load, { ttl: 2 * hour, refreshThreshold: () => hour });
      return (await cache.get('a')) === 2;
    });
    expect(refreshed).toHaveBeenCalledWith({ key: 'a', value: 2 });
    expect(await cache.wrap('a', load, { ttl: hour, refreshThreshold: 60 * second })).toBe(2);

    refreshed.mockClear();
    await cache.set('b', 'old', hour);
    const fail = () => Promise.reject(new Error('no source'));
    await eventually(async () => {
      expect(await cache.wrap('b', fail, hour, 2 * hour)).toBe('old');
      expect(refreshed).toHaveBeenCalledWith({ key: 'b', value: 'old', error: new Error('no source') });
    });
  });

  it('tells of what it does', async () => {
    await using app = await startManager(redis.connection);
    const { manager } = app;
    const heard: unknown[] = [];
    const names = ['get', 'mget', 'set', 'mset', 'del', 'clear'] as const;
    for (const name of names) manager.on(name, (about?: unknown) => heard.push([name, about]));
    await manager.set('a', 1);
    await manager.get('a');
    await manager.get('nothing');
    await manager.mset([{ key: 'b', value: 2 }]);
    await manager.mget(['a', 'b']);
    await manager.del('a');
    await manager.wrap('c', () => 3);
    await manager.clear();
    expect(heard).toEqual([
      ['set', { key: 'a', value: 1 }],
      ['get', { key: 'a', value: 1 }],
      ['mset', { list: [{ key: 'b', value: 2 }] }],
      ['mget', { keys: ['a', 'b'], values: [1, 2] }],
      ['del', { key: 'a' }],
      ['set', { key: 'c', value: 3 }],
      ['clear', undefined],
    ]);
    const never = jest.fn();
    manager.on('set', never);
    manager.off('set', never);
    await manager.set('a', 1);
    expect(never).not.toHaveBeenCalled();
  });

  it('holds the values of the cache itself, so that a caller may move over after the other', async () => {
    await using app = await startManager(redis.connection);
    const { cache, manager } = app;
    await manager.set('user:1', { name: 'Ada' });
    expect(await cache.get('user:1')).toEqual({ name: 'Ada' });
    expect(await cache.get(['user', 1])).toEqual({ name: 'Ada' });
    await cache.delete(['user', 1]);
    expect(await manager.get('user:1')).toBeUndefined();
    await cache.set('tagged', 1, { tags: ['x'] });
    expect(await manager.get('tagged')).toBe(1);
    await cache.invalidateTags('x');
    expect(await manager.get('tagged')).toBeUndefined();

    for (const wrong of ['5s', NaN]) {
      await expect(manager.set('user:1', 1, wrong as number)).rejects.toThrow(/ttl: got .*expected milliseconds/);
    }

    const [keyv] = manager.stores;
    await keyv?.set('by keyv', 'x', 60 * second);
    expect(await manager.get('by keyv')).toBe('x');
    expect(await keyv?.get('by keyv')).toBe('x');
    expect((await keyv?.getRaw('by keyv'))?.expires).toBeGreaterThan(Date.now() + 30 * second);
    expect(await keyv?.setMany([{ key: 'another', value: null }])).toEqual([true]);
    expect(await keyv?.getMany(['another', 'nothing'])).toEqual([null, undefined]);
    const found: unknown[] = [];
    for await (const entry of keyv?.iterator?.(undefined) ?? []) found.push(entry);
    expect(found.toSorted()).toEqual([
      ['another', null],
      ['by keyv', 'x'],
    ]);
    expect(await keyv?.delete('another')).toBe(true);
    await keyv?.disconnect();
    await keyv?.clear();
    expect(await manager.get('by keyv')).toBeUndefined();
  });

  it('has keys of its own in a namespace, which clear does not leave', async () => {
    await using app = await startManager(redis.connection, { namespace: 'legacy' });
    const { cache, manager } = app;
    await cache.set('a', 'of the cache');
    await manager.set('a', 'legacy');
    expect(await cache.namespace('legacy').get('a')).toBe('legacy');
    await manager.clear();
    expect(await manager.get('a')).toBeUndefined();
    expect(await cache.get('a')).toBe('of the cache');
  });

  it('gives values the ttl of the module, and without end the longest that there is', async () => {
    await using app = await startManager(redis.connection, { ttl: '2m' }, { jitter: 0, maxTtl: '1h', ttl: '1m' });
    await using plain = await startManager(redis.connection, {}, { jitter: 0, maxTtl: '1h', ttl: '3m' });
    const left = async (key: string) => Math.ceil((await redis.client().pttl(`shop:cache:{${key}}`)) / 60_000);
    await app.manager.set('set', 1);
    await app.manager.mset([{ key: 'mset', value: 1 }]);
    await app.manager.wrap('wrapped', () => 1);
    await app.manager.set('own', 1, 10 * 60 * second);
    await app.manager.set('for ever', 1, 0);
    await app.manager.set('longer', 1, 90 * 60 * second);
    await plain.manager.set('plain', 1);
    await plain.manager.wrap('plain wrapped', () => 1);
    await plain.manager.wrap('null', () => null);
    const names = ['set', 'mset', 'wrapped', 'own', 'for ever', 'longer', 'plain', 'plain wrapped', 'null'];
    expect(await Promise.all(names.map(left))).toEqual([2, 2, 2, 10, 60, 60, 3, 3, 3]);
  });

  it('loads once in all processes, and does not bring back what was deleted meanwhile', async () => {
    await using here = await startManager(redis.connection);
    await using elsewhere = await startManager(redis.connection);
    const started = gate();
    const done = gate();
    const load = jest.fn(async () => {
      started.open();
      await done.opened;
      return 'old';
    });
    const first = here.manager.wrap('a', load);
    await started.opened;
    const second = elsewhere.manager.wrap('a', load);
    await eventually(() => elsewhere.cache.stats().misses > 0);
    done.open();
    expect(await Promise.all([first, second])).toEqual(['old', 'old']);
    expect(load).toHaveBeenCalledTimes(1);

    await here.manager.del('a');
    const again = gate();
    const slow = here.manager.wrap('a', async () => {
      again.open();
      await elsewhere.manager.del('a');
      return 'stale';
    });
    await again.opened;
    expect(await slow).toBe('stale');
    expect(await here.manager.get('a')).toBeUndefined();
  });
});

describe('CacheModule of Redstart', () => {
  @Injectable()
  class Users {
    constructor(
      @Inject(CACHE_MANAGER) readonly byToken: Cache,
      readonly byClass: CacheToken,
    ) {}
  }

  it('is injected by token and by class, as before, from a factory, and global when asked for', async () => {
    @Module({ providers: [Users] })
    class Feature {}
    @Module({ providers: [{ provide: 'ttl', useValue: 7_000 }], exports: ['ttl'] })
    class Config {}
    await using server = await RedisServer.start();
    const manager = CacheModule.registerAsync({
      isGlobal: true,
      imports: [Config],
      inject: ['ttl'],
      useFactory: (ttl: number) => ({ ttl }),
    });
    await using app = await startCache({ url: server.url }, { jitter: 0 }, { imports: [manager, Feature] });
    const users = app.context.get(Users, { strict: false });
    expect(users.byToken).toBe(users.byClass);
    expect(users.byToken).toBeInstanceOf(RedisCacheManager);
    await users.byToken.set('a', 1);
    expect(await server.client().pttl('shop:cache:{a}')).toBeLessThanOrEqual(7_000);
  });

  it('takes options from a class, and another cache by its name', async () => {
    @Injectable()
    class Options {
      createCacheOptions() {
        return { ttl: '1m' as const, cacheId: 'sessions of users' };
      }
    }
    await using server = await RedisServer.start();
    const imports = [
      RedisCacheModule.forRoot({ name: 'sessions' }),
      CacheModule.registerAsync({ useClass: Options, cache: 'sessions' }),
    ];
    await using app = await startCache({ url: server.url }, {}, { imports });
    const manager = app.context.get<Cache>(CACHE_MANAGER, { strict: false });
    await manager.set('a', 1);
    expect(manager.cacheId()).toBe('sessions of users');
    expect(await server.client().exists('shop:cache@sessions:{a}')).toBe(1);
  });

  it.each([
    ['stores', { stores: [] }, /CacheModule\.stores.*RedisModule\.forRoot/],
    ['nonBlocking', { nonBlocking: true }, /CacheModule\.nonBlocking.*budget/],
    ['a typo', { tll: 5 }, /CacheModule\.tll.*Known options: ttl/],
    ['a ttl that is none', { ttl: -1 }, /CacheModule\.ttl/],
  ])('refuses what it can not do, and says what to do instead: %s', (_, options: object, message) => {
    expect(() => CacheModule.register(options)).toThrow(OptionsError);
    expect(() => CacheModule.register(options)).toThrow(message);
  });

  it('says which module is missing', async () => {
    const redis = RedisModule.forRoot({ namespace: 'shop', ...nowhere() });
    const booting = Test.createTestingModule({ imports: [redis, CacheModule.register()] }).compile();
    await expect(booting).rejects.toThrow(/import RedisCacheModule\.forRoot\(\)/);
  });

  it('rejects what could not be changed while Redis is away, tells of it, and reads and loads on', async () => {
    await using server = await RedisServer.start();
    await using app = await startManager({ url: server.url }, {}, { budget: 250 });
    const { manager } = app;
    await using patient = await startManager({ url: server.url });
    await patient.manager.set('a', 1);
    const failed: unknown[] = [];
    for (const name of ['set', 'mset', 'del', 'clear'] as const) {
      manager.on(name, (about?: unknown) => failed.push(name, about));
    }
    await server.kill();
    expect(await manager.get('a')).toBeUndefined();
    expect(await manager.mget(['a'])).toEqual([undefined]);
    expect(await manager.ttl('a')).toBeUndefined();
    expect(await manager.wrap('a', () => 'loaded')).toBe('loaded');
    for (const change of [
      () => manager.set('a', 2),
      () => manager.mset([{ key: 'a', value: 2 }]),
      () => manager.del('a'),
      () => manager.mdel(['a']),
      () => manager.clear(),
    ]) {
      await expect(change()).rejects.toThrow(RedisUnavailableError);
    }
    expect(failed.filter((name) => typeof name === 'string')).toEqual(['set', 'set', 'mset', 'del', 'clear']);
  }, 60_000);
});
