import { jest } from '@jest/globals';
import { OptionsError } from '@redstart/redis-core';
import { describeOn, standalone } from '@redstart/redis-testing';
import {
  DefinedCache,
  defineCache,
  type CacheModuleOptions,
  type CacheService,
  type GetOrSetOptions,
} from '../src/index.js';
import { nowhere, startCache, type CacheApp } from './app.js';

/** What a caller without types may write. */
const untyped = (options: unknown) => options as GetOrSetOptions<unknown>;

describeOn(standalone)('options of a call', (redis) => {
  let app: CacheApp;
  let cache: CacheService;
  beforeAll(async () => {
    app = await startCache(redis.connection);
    ({ cache } = app);
  });
  afterAll(() => app[Symbol.asyncDispose]());

  const stored = () => redis.client().exists('shop:cache:{a}', 'shop:cache-lease:{a}');
  const refused = async (call: () => unknown, message: RegExp) => {
    const error: unknown = await Promise.resolve()
      .then(call)
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(OptionsError);
    expect((error as OptionsError).message).toMatch(message);
  };

  it.each<[object, RegExp]>([
    [{ tag: ['a'] }, /\.tag: is not an option\. Known options: .*tags/],
    [{ ttl: '1m', unles: () => true }, /\.unles: is not an option/],
    [{ tags: null }, /tags: expected an array of at most 100 tags/],
    [{ tags: {} }, /tags: expected an array of at most 100 tags/],
    [{ tags: 'a' }, /tags: expected an array of at most 100 tags/],
    [{ unless: 1 }, /\.unless: got 1; expected a function/],
    [{ signal: {} }, /\.signal: got a value of type object; expected an AbortSignal/],
    [{ condition: 'no' }, /\.condition: got "no"; expected true or false/],
    [{ condition: 0 }, /\.condition: got 0; expected true or false/],
    [{ sliding: 1 }, /\.sliding: got 1; expected true or false/],
    [{ schema: {} }, /schema: got a value of type object .*expected a Standard Schema/],
    [{ schema: null }, /schema: got a value of type object .*expected a Standard Schema/],
    [{ ttl: null }, /ttl/],
  ])('refuses %p before anything is loaded', async (options, message) => {
    const load = jest.fn(() => 1);
    const loadMany = jest.fn((keys: string[]) => keys.map(() => 1));
    await refused(() => cache.getOrSet('a', load, untyped(options)), message);
    await refused(() => cache.getOrSetMany(['a'], loadMany, untyped(options)), message);
    expect([load.mock.calls.length, loadMany.mock.calls.length]).toEqual([0, 0]);
    expect(await stored()).toBe(0);
  });

  it('refuses a loader that is none, and keys that are no array', async () => {
    await refused(() => cache.getOrSet('a', untyped(undefined) as () => 1), /getOrSet\(loader\): got undefined/);
    await refused(
      () => cache.getOrSet('a', untyped(1) as () => 1, { condition: false }),
      /getOrSet\(loader\): got 1; expected a function/,
    );
    await refused(() => cache.getOrSetMany(['a'], untyped({}) as () => []), /getOrSetMany\(loader\)/);
    await refused(() => cache.getMany(untyped('abc') as string[]), /getMany\(keys\): .*expected an array of keys/);
    await refused(() => cache.getOrSetMany(untyped('abc') as string[], () => []), /getOrSetMany\(keys\)/);
    await refused(() => cache.setMany(untyped('abc') as []), /setMany\(entries\): .*expected an array or a Map/);
  });

  it.each<[string, (options: object) => unknown]>([
    ['get', (options) => cache.get('a', options)],
    ['get', (options) => cache.getMany(['a'], options)],
    ['getEntry', (options) => cache.getEntry('a', options)],
    ['has', (options) => cache.has('a', options)],
    ['set', (options) => cache.set('a', 1, options)],
    ['set', (options) => cache.setMany([['a', 1]], options)],
    ['writeThrough', (options) => cache.writeThrough('a', 1, () => undefined, options)],
    ['touch', (options) => cache.touch('a', options)],
    ['deleteByPrefix', (options) => cache.deleteByPrefix('a', options)],
  ])('refuses what %s does not know', async (call, run) => {
    await refused(() => run({ tag: ['a'] }), new RegExp(`${call}\\.tag: is not an option`));
    expect(await stored()).toBe(0);
  });

  it.each<[string, (options: never) => unknown]>([
    ['get', (options) => cache.get('known', options)],
    ['get', (options) => cache.getMany(['known'], options)],
    ['getEntry', (options) => cache.getEntry('known', options)],
    ['has', (options) => cache.has('known', options)],
    ['getOrSet', (options) => cache.getOrSet('known', () => 2, options)],
    ['getOrSetMany', (options) => cache.getOrSetMany(['known'], () => [2], options)],
    ['set', (options) => cache.set('known', 2, options)],
  ])('refuses null for the options of %s, also where there is a hit', async (call, run) => {
    await cache.set('known', 1);
    await refused(() => run(null as never), new RegExp(`${call}: got null; expected an object of options`));
    expect(await cache.get('known')).toBe(1);
  });

  it('takes one constant for all calls for a key, but nothing that only says how it is loaded', async () => {
    const options = { ttl: '1m', tags: ['a'], staleIfError: '1m', softTimeout: '1s', sliding: false } as const;
    expect(await cache.get('a', options)).toBeUndefined();
    await cache.set('a', 1, options);
    expect(await cache.getOrSet('a', () => 2, options)).toBe(1);
    await refused(() => cache.set('a', 1, { unless: () => true } as object), /set\.unless: is not an option/);
    await refused(() => cache.get('b', { condition: false } as object), /get\.condition: is not an option/);
  });

  it('refuses wrong values of what is written, before the store has it', async () => {
    const write = jest.fn();
    for (const wrong of [{ sliding: 'yes' }, { tags: {} }, { first: 'both' }, { ttl: 'soon' }]) {
      await refused(() => cache.writeThrough('a', 1, write, wrong as object), new RegExp(Object.keys(wrong).join()));
    }
    await refused(() => cache.writeThrough('a', 1, untyped(1) as () => 1), /writeThrough\(write\): got 1/);
    await refused(() => cache.set('a', 1, { sliding: 1 } as object), /set\.sliding: got 1/);
    await refused(() => cache.deleteByPrefix('a', { signal: 1 } as object), /deleteByPrefix\.signal/);
    await refused(() => cache.deleteByPrefix('a', { onProgress: 1 } as object), /deleteByPrefix\.onProgress: got 1/);
    expect(write).not.toHaveBeenCalled();
    expect(await stored()).toBe(0);
  });

  it('refuses what a defined cache does not know, instead of leaving it out', async () => {
    const load = jest.fn((id: string) => id);
    const definition = defineCache<string, string>('flights', { key: (id) => id });
    const flights = new DefinedCache(definition, cache, { load, write: () => undefined });
    const wrong = { ttl: '1s' } as object;
    await refused(() => flights.getOrSet('a', wrong), /The cache "flights", getOrSet\.ttl: is not an option/);
    await refused(() => flights.getOrSetMany(['a'], wrong), /getOrSetMany\.ttl/);
    await refused(() => flights.refresh('a', wrong), /refresh\.ttl/);
    await refused(() => flights.write('a', 'b', wrong), /write\.ttl/);
    expect(load).not.toHaveBeenCalled();
    expect(await flights.getOrSet('a', {})).toBe('a');
  });
});

it.each<[object, RegExp]>([
  [{ name: 5 }, /RedisCacheModule\.name: got 5; expected a non-empty string/],
  [{ name: null }, /RedisCacheModule\.name: got null/],
])('refuses %p of the module', async (options, message) => {
  await expect(startCache(nowhere(), options as CacheModuleOptions)).rejects.toThrow(message);
});

it('takes null for an option that is not said, timeouts included', async () => {
  const said = { ttl: null, softTimeout: null, hardTimeout: null, waitTimeout: null } as object;
  await using app = await startCache(nowhere(), { ...said, budget: 50 });
  expect(await app.cache.getOrSet('a', () => 1)).toBe(1);
});
