import { jest } from '@jest/globals';
import { OptionsError } from '@redstart/redis-core';
import { cluster, describeOn, eventually, sentinel, standalone } from '@redstart/redis-testing';
import type { GetOrSetOptions, LoadContext } from '../src/index.js';
import { callsOf, gate, startCache, type CacheApp } from './app.js';
import { nearTiersHaveHeard } from './near-barrier.js';

describeOn(
  standalone,
  cluster,
  sentinel,
)('tags and namespaces', (redis) => {
  let here: CacheApp;
  let elsewhere: CacheApp;
  beforeAll(async () => {
    here = await startCache(redis.connection);
    elsewhere = await startCache(redis.connection);
  });
  afterAll(async () => {
    await here[Symbol.asyncDispose]();
    await elsewhere[Symbol.asyncDispose]();
  });
  // Redis has been emptied behind their backs.
  beforeEach(() => nearTiersHaveHeard(redis.client()));

  it('invalidates everything that has a tag, in all processes and namespaces, and nothing else', async () => {
    const users = here.cache.namespace('users');
    await here.cache.set('a', 1, { tags: ['x'] });
    await here.cache.set('b', 2, { tags: ['y', 'x'] });
    await here.cache.set('c', 3, { tags: ['y'] });
    await here.cache.set('d', 4);
    await users.set('a', 5, { tags: ['x'] });
    await elsewhere.cache.invalidateTags('x');
    for (const { cache } of [here, elsewhere]) {
      expect(await cache.getMany(['a', 'b', 'c', 'd'])).toEqual([undefined, undefined, 3, 4]);
      expect(await cache.namespace('users').get('a')).toBeUndefined();
    }
  });

  it('takes one small write for a tag, however many values have it, and keeps no list of them', async () => {
    await here.cache.setMany(
      Array.from({ length: 500 }, (_, index) => [['many', index], index]),
      { tags: ['all'] },
    );
    const client = redis.client();
    const before = await client.get('shop:cache:{all}:tag');
    await elsewhere.cache.invalidateTags('all');
    expect(Number(await client.get('shop:cache:{all}:tag'))).toBeGreaterThan(Number(before?.split(':')[0]));
    expect(
      await here.cache.getMany([
        ['many', 0],
        ['many', 499],
      ]),
    ).toEqual([undefined, undefined]);
    expect(await client.exists('shop:cache:{many:0}')).toBe(1); // Redis drops it when its ttl is over
  });

  it('tells tags apart as keys: what a user types can be no other tag', async () => {
    await here.cache.set('a', 1, { tags: [['user', 'a:b']] });
    await here.cache.set('b', 2, { tags: [['user', 'a', 'b']] });
    await here.cache.invalidateTags(['user', 'a', 'b']);
    expect(await here.cache.getMany(['a', 'b'])).toEqual([1, undefined]);
    await here.cache.set('x', 'a value', { tags: ['x'] }); // a key of the same name as its tag
    expect(await here.cache.get('x')).toBe('a value');
  });

  it('never brings back what hung on a version that Redis has evicted', async () => {
    const client = redis.client();
    const fill = async () => {
      await here.cache.set('a', 'old', { tags: ['x'] });
      await here.cache.set('b', 'old');
    };
    await fill();
    await client.del('shop:cache:{x}:tag');
    expect(await elsewhere.cache.getMany(['a', 'b'])).toEqual([undefined, 'old']);
    await here.cache.set('c', 'new', { tags: ['x'] }); // makes another version
    expect(await elsewhere.cache.getMany(['a', 'c'])).toEqual([undefined, 'new']);

    await fill();
    await client.del('shop:cache:version');
    expect(await elsewhere.cache.getMany(['a', 'b'])).toEqual([undefined, undefined]);
    await here.cache.set('c', 'new');
    expect(await elsewhere.cache.getMany(['a', 'b', 'c'])).toEqual([undefined, undefined, 'new']);
  });

  it('raises a version even when the clock of Redis has gone back', async () => {
    const client = redis.client();
    const future = '8000000000000000';
    await client.set('shop:cache:{x}:tag', future, 'PX', 60_000);
    await here.cache.set('a', 1, { tags: ['x'] });
    expect(await here.cache.get('a')).toBe(1);
    await elsewhere.cache.invalidateTags('x');
    expect(await client.get('shop:cache:{x}:tag')).toBe('8000000000000001');
    expect(await here.cache.get('a')).toBeUndefined();
  });

  it('keeps versions longer than any entry that hangs on them', async () => {
    await here.cache.getOrSet('a', () => 1, { tags: ['x'], ttl: '7d' });
    const client = redis.client();
    const day = 86_400_000;
    for (const key of ['shop:cache:version', 'shop:cache:{x}:tag']) {
      expect(await client.pttl(key)).toBeGreaterThan(20 * day);
    }
    await here.cache.invalidateTags('x');
    await here.cache.clear();
    for (const key of ['shop:cache:version', 'shop:cache:{x}:tag']) {
      expect(await client.pttl(key)).toBeGreaterThan(20 * day);
    }
  });

  it('clears a namespace with all in it, and a cache with all its namespaces', async () => {
    const names = ['', 'users', 'users:admins', 'orders'];
    const at = ({ cache }: CacheApp, name: string) => (name === '' ? cache : cache.namespace(name));
    const fill = () => Promise.all(names.map((name) => at(here, name).set('a', 1)));
    const left = async () => {
      const values = await Promise.all(names.map((name) => at(elsewhere, name).get('a')));
      return names.filter((_, index) => values[index] === 1);
    };
    await fill();
    expect(await left()).toEqual(names);
    await here.cache.namespace('users').namespace('admins').clear();
    expect(await left()).toEqual(['', 'users', 'orders']);
    await here.cache.namespace('users').clear();
    expect(await left()).toEqual(['', 'orders']);
    await fill();
    await here.cache.namespace('users').clear();
    expect(await left()).toEqual(['', 'orders']);
    await fill();
    await here.cache.clear();
    expect(await left()).toEqual([]);
    expect(() => here.cache.namespace('a::b')).toThrow(OptionsError);
  });

  it('takes a value without a tag that the caller names for a miss: it was stored under other tags', async () => {
    await here.cache.set('a', 'untagged');
    expect(await here.cache.get('a', { tags: ['x'] })).toBeUndefined();
    expect(await here.cache.getOrSet('a', () => 'tagged', { tags: ['x'] })).toBe('tagged');
    expect(await here.cache.get('a', { tags: ['x'] })).toBe('tagged');
    expect(await here.cache.get('a', { tags: ['x', 'y'] })).toBeUndefined();
    expect(await here.cache.get('a', { tags: [] })).toBe('tagged');
    await here.cache.invalidateTags('x');
    expect(await here.cache.get('a', { tags: [] })).toBeUndefined();
  });

  it('reads a value and the versions of its tags in one round trip when the caller names them', async () => {
    await using app = await startCache(redis.connection, { near: false });
    await app.cache.set('a', 1, { tags: ['y', 'x'] });
    const calls = await callsOf(app, async () => {
      expect(await app.cache.get('a', { tags: ['x', 'y'] })).toBe(1);
    });
    // On a Cluster the value and three versions, at once; the next read would have to know the value first.
    expect(calls).toEqual(Array(redis.topology === 'cluster' ? 4 : 1).fill('cache.get'));
    const more = await callsOf(app, () => app.cache.get('a'));
    expect(more).toHaveLength(redis.topology === 'cluster' ? 4 : 2);
    expect((await app.cache.getEntry('a'))?.tags).toEqual(['y', 'x']);
  });

  it('takes tags from the loaded value, and from its loader', async () => {
    const load = jest.fn(() => ({ airline: 'LH' }));
    const tags = ({ airline }: { airline: string }) => [['airline', airline]] as const;
    await here.cache.getOrSet('a', load, { tags });
    await here.cache.getOrSet('b', (context) => {
      context.addTags('late', 'late');
      return 1;
    });
    expect((await here.cache.getEntry('a'))?.tags).toEqual(['airline:LH']);
    expect((await here.cache.getEntry('b'))?.tags).toEqual(['late']);
    expect(await elsewhere.cache.getOrSet('a', load, { tags })).toEqual({ airline: 'LH' });
    expect(load).toHaveBeenCalledTimes(1);
    await elsewhere.cache.invalidateTags(['airline', 'LH'], 'late');
    expect(await here.cache.getMany(['a', 'b'])).toEqual([undefined, undefined]);
  });

  it('does not store a value whose late tag was invalidated while it was being loaded', async () => {
    const load = async (context: { addTags(tag: string): void }) => {
      await elsewhere.cache.invalidateTags('late');
      context.addTags('late');
      return 'old';
    };
    expect(await here.cache.getOrSet('a', load)).toBe('old');
    expect(await here.cache.get('a')).toBeUndefined();
    expect(here.cache.stats().staleLoads).toBe(1);
  });

  it.each([
    ['never used before', () => Promise.resolve(0)],
    ['evicted meanwhile', () => redis.client().del('shop:cache:{late}:tag')],
  ])(
    'does not store as fresh what hangs on a late tag, %s, that was marked stale while it was being loaded',
    async (_, lose) => {
      const load = async (context: { addTags(tag: string): void }) => {
        await lose();
        await elsewhere.cache.markTagsStale('late');
        context.addTags('late');
        return 'old';
      };
      expect(await here.cache.getOrSet('a', load)).toBe('old');
      expect(await here.cache.get('a')).toBeUndefined();
      expect(await elsewhere.cache.getOrSet('a', () => 'new')).toBe('new');
    },
  );

  it('marks a tag that is not there as another version than a new one', async () => {
    await elsewhere.cache.markTagsStale('late');
    const [hard, soft] = (await redis.client().get('shop:cache:{late}:tag'))?.split(':').map(Number) ?? [];
    expect(soft).toBeGreaterThan(hard ?? Infinity);
  });

  it.each<[how: string, notStored: GetOrSetOptions<unknown>, more: (context: LoadContext) => void]>([
    ['by unless', { unless: () => true }, () => undefined],
    [
      'by its loader',
      {},
      (context) => {
        context.skipCache();
      },
    ],
    ['as nothing', { nullTtl: false }, () => undefined],
    ['for its tags', { tags: () => ['late'], unless: () => true }, () => undefined],
  ])(
    'shares what is not stored, %s, with nobody who asks after its late tag was invalidated',
    async (_, options, more) => {
      const source = { value: options.nullTtl === false ? null : 'old' };
      const loading = gate();
      const load = jest.fn(async (context: LoadContext) => {
        const { value } = source;
        if (options.tags === undefined) context.addTags('late');
        more(context);
        await loading.opened;
        return value;
      });
      const first = here.cache.getOrSet('a', load, options);
      await eventually(() => load.mock.calls.length === 1);
      source.value = 'new';
      await elsewhere.cache.invalidateTags('late');
      const second = here.cache.getOrSet('a', load, options);
      // It has looked at Redis when what is asked after it has been answered, and waits for the first.
      await here.cache.get('another');
      loading.open();
      expect(await first).not.toBe('new');
      expect(await second).toBe('new');
    },
  );

  it('refuses what is no list of tags, and more than a hundred', async () => {
    const tags = Array.from({ length: 101 }, (_, index) => `t${index}`);
    await expect(here.cache.set('a', 1, { tags })).rejects.toThrow(OptionsError);
    await expect(here.cache.getOrSet('a', () => 1, { tags })).rejects.toThrow(OptionsError);
    await expect(here.cache.getOrSet('a', () => 1, { tags: () => tags })).rejects.toThrow(OptionsError);
    await here.cache.set('a', 1, { tags: tags.slice(1) });
    expect(await here.cache.get('a')).toBe(1);
    await here.cache.invalidateTags('t100');
    expect(await here.cache.get('a')).toBeUndefined();
  });

  describe('stale values', () => {
    const options = { staleWhileRevalidate: '1h', staleIfError: '1h' } as const;

    it('are misses for whoever has not asked for them', async () => {
      for (const mark of [() => elsewhere.cache.markStale('a'), () => elsewhere.cache.markTagsStale('x')]) {
        await here.cache.set('a', 'old', { tags: ['x'], ...options });
        await mark();
        expect(await here.cache.get('a')).toBeUndefined();
        expect(await here.cache.has('a')).toBe(false);
        expect(await here.cache.getEntry('a')).toMatchObject({ value: 'old', stale: true, ttl: 0 });
        expect(await here.cache.getOrSet('a', () => 'new', { tags: ['x'] })).toBe('new');
        expect(await elsewhere.cache.getEntry('a')).toMatchObject({ value: 'new', stale: false });
      }
    });

    it('are served where a loader fails, unless they were invalidated for good', async () => {
      const failing = () => Promise.reject(new Error('database down'));
      await here.cache.set('a', 'old', { tags: ['x'], ...options });
      await elsewhere.cache.markTagsStale('x');
      expect(await here.cache.getOrSet('a', failing, options)).toBe('old');
      await elsewhere.cache.invalidateTags('x');
      await expect(here.cache.getOrSet('a', failing, options)).rejects.toThrow('database down');

      await here.cache.set('b', 'old', options);
      await elsewhere.cache.markStale('b');
      expect(await here.cache.getOrSet('b', failing, options)).toBe('old');
      await elsewhere.cache.clear();
      await expect(here.cache.getOrSet('b', failing, options)).rejects.toThrow('database down');
    });

    it('are marked where there is no value, too: a load under way is not stored', async () => {
      for (const [key, mark] of [
        ['a', () => elsewhere.cache.markStale('a')],
        ['b', () => elsewhere.cache.markTagsStale('x')],
      ] as const) {
        const load = async () => {
          await mark();
          return 'old';
        };
        expect(await here.cache.getOrSet(key, load, { tags: ['x'] })).toBe('old');
        expect(await here.cache.get(key)).toBeUndefined();
      }
    });
  });
});
