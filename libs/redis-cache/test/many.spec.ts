import { jest } from '@jest/globals';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import { CacheCycleError } from '../src/index.js';
import { callsOf, gate, startCache, type CacheApp } from './app.js';
import { nearTiersHaveHeard } from './near-barrier.js';
import { Stepper } from './stepper.js';

describeOn(standalone, cluster)('many values at once', (redis) => {
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

  const flights = (count: number) => Array.from({ length: count }, (_, index) => ['flight', index] as const);

  it('stores and reads many, a hundred and fifty in three commands', async () => {
    const keys = flights(150);
    await here.cache.setMany(
      keys.map((key) => [key, { id: key[1] }]),
      { ttl: '1h', tags: ['flights'] },
    );
    const calls = await callsOf(elsewhere, async () => {
      const values = await elsewhere.cache.getMany<{ id: number }>([...keys, 'none'], { tags: ['flights'] });
      expect(values).toEqual([...keys.map((key) => ({ id: key[1] })), undefined]);
    });
    expect(calls).toHaveLength(redis.topology === 'cluster' ? 153 : 3);
    expect(await redis.client().pttl('shop:cache:{flight:7}')).toBeGreaterThan(3_000_000);
  });

  it('reads a key that stands twice once, and gives each place a copy of its own', async () => {
    await here.cache.set('a', { seats: 1 });
    const [one, two] = await here.cache.getMany<{ seats: number }>(['a', 'a']);
    expect([one, two]).toEqual([{ seats: 1 }, { seats: 1 }]);
    expect(one).not.toBe(two);
    expect(await here.cache.getMany([])).toEqual([]);
  });

  it('loads together what is not there, and nothing else', async () => {
    await here.cache.setMany([
      ['a', 'A'],
      ['c', null],
    ]);
    const load = jest.fn((missing: string[]) => missing.map((key) => key.toUpperCase()));
    expect(await here.cache.getOrSetMany(['a', 'b', 'c', 'd', 'b'], load, { ttl: '1h' })).toEqual([
      'A',
      'B',
      null,
      'D',
      'B',
    ]);
    expect(load.mock.calls.map(([missing]) => missing)).toEqual([['b', 'd']]);
    expect(await elsewhere.cache.getMany(['b', 'd'])).toEqual(['B', 'D']);
    expect(await here.cache.getOrSetMany(['a', 'b', 'c', 'd'], load)).toEqual(['A', 'B', null, 'D']);
    expect(load).toHaveBeenCalledTimes(1);
    expect(await here.cache.getOrSetMany([], load)).toEqual([]);
  });

  it('keeps what it promises of a loader where a condition leads past the cache', async () => {
    const past = { condition: false };
    const load = jest.fn((missing: string[]) => missing.map((key) => key.toUpperCase()));
    expect(await here.cache.getOrSetMany(['b', 'a', 'b'], load, past)).toEqual(['B', 'A', 'B']);
    expect(load.mock.calls.map(([missing]) => missing)).toEqual([['b', 'a']]);
    expect(await here.cache.getOrSetMany([], load, past)).toEqual([]);
    expect(load).toHaveBeenCalledTimes(1);
    for (const wrong of [[1], undefined, 'ab']) {
      const loaded = here.cache.getOrSetMany(['a', 'b'], () => wrong as number[], past);
      await expect(loaded).rejects.toThrow(/was given 2 keys and has to return an array of as many values/);
    }
    expect(await here.cache.getMany(['a', 'b'])).toEqual([undefined, undefined]);
  });

  it('loads each key once, though single calls and other batches of all processes want it, too', async () => {
    const loaded: string[] = [];
    const started = gate();
    const done = gate();
    const slow = async (missing: string[]) => {
      loaded.push(...missing);
      started.open();
      await done.opened;
      return missing.map((key) => `${key} loaded`);
    };
    const first = here.cache.getOrSetMany(['a', 'b'], slow);
    await started.opened;
    const rest = (keys: string[]) => {
      loaded.push(...keys);
      return keys.map((key) => `${key} loaded`);
    };
    const single = here.cache.getOrSet('b', () => 'never');
    const second = here.cache.getOrSetMany(['b', 'c'], rest);
    const third = elsewhere.cache.getOrSetMany(['a', 'c', 'd'], rest);
    await eventually(() => {
      expect(loaded.toSorted()).toEqual(['a', 'b', 'c', 'd']);
    });
    done.open();
    expect(await first).toEqual(['a loaded', 'b loaded']);
    expect(await single).toBe('b loaded');
    expect(await second).toEqual(['b loaded', 'c loaded']);
    expect(await third).toEqual(['a loaded', 'c loaded', 'd loaded']);
    expect(loaded.toSorted()).toEqual(['a', 'b', 'c', 'd']);
  });

  it('hears of tags, a ttl and an error for the whole batch', async () => {
    await here.cache.getOrSetMany(['a', 'b'], (missing, context) => {
      context.setTtl('2h');
      context.addTags('batch');
      return missing;
    });
    expect(await redis.client().pttl('shop:cache:{b}')).toBeGreaterThan(6_000_000);
    await elsewhere.cache.invalidateTags('batch');
    expect(await here.cache.getMany(['a', 'b'])).toEqual([undefined, undefined]);
    await here.cache.getOrSetMany(['a'], (missing, context) => {
      context.skipCache();
      return missing;
    });
    expect(await here.cache.has('a')).toBe(false);
    const failing = () => Promise.reject(new Error('database down'));
    await expect(here.cache.getOrSetMany(['a', 'b'], failing)).rejects.toThrow('database down');
  });

  it('refuses a loader that returns another number of values', async () => {
    await expect(here.cache.getOrSetMany(['a', 'b'], () => ['one'])).rejects.toThrow(/given 2 keys/);
    // What a loader without types may return.
    await expect(here.cache.getOrSetMany(['a'], () => 'x' as unknown as string[])).rejects.toThrow(TypeError);
    expect(await here.cache.getMany(['a', 'b'])).toEqual([undefined, undefined]);
  });

  it('refuses a loader that asks for a key of its own batch', async () => {
    const call = here.cache.getOrSetMany(['a', 'b'], async (missing) => {
      await here.cache.getOrSet('a', () => 1);
      return missing.map(() => 1);
    });
    await expect(call).rejects.toThrow(CacheCycleError);
  });

  it('deletes what begins so, on every master, and tells how far it is', async () => {
    await here.cache.setMany(flights(1_200).map((key) => [key, 1]));
    await here.cache.setMany([
      ['flights', 'another key'],
      [['flight*', 1], 'a pattern is none'],
      ['other', 1],
    ]);
    await here.cache.namespace('users').set('flight:1', 'another namespace');
    const progress: number[] = [];
    const deleted = await elsewhere.cache.deleteByPrefix(['flight', ''], {
      onProgress: ({ deleted: count, done, masters }) => {
        progress.push(count);
        expect(done).toBeLessThanOrEqual(masters);
        expect(masters).toBe(redis.topology === 'cluster' ? 3 : 1);
      },
    });
    expect(deleted).toBe(1_200);
    expect(progress.at(-1)).toBe(1_200);
    expect(progress.length).toBeGreaterThan(2);
    expect(await here.cache.getMany([['flight', 1], 'flights', ['flight*', 1], 'other'])).toEqual([
      undefined,
      'another key',
      'a pattern is none',
      1,
    ]);
    expect(await here.cache.namespace('users').get('flight:1')).toBe('another namespace');
    expect(await elsewhere.cache.deleteByPrefix('flight*')).toBe(1);
    await expect(
      elsewhere.cache.deleteByPrefix('x', { signal: AbortSignal.abort(new Error('stopped')) }),
    ).rejects.toThrow('stopped');
    await expect(elsewhere.cache.deleteByPrefix('')).rejects.toThrow('empty');
  });

  it('deletes by a prefix also keys that are too long to be written out, though only their beginning can be read', async () => {
    const shown = 'r'.repeat(64); // of a key of more than 1 KB
    const long = 'x'.repeat(1024);
    const keys = {
      written: [shown, 'a', 1],
      hashed: [shown, 'a', long],
      doubtful: [shown, 'b', long], // nobody can tell from its key
      other: [shown, 'b', 1],
      otherHashed: ['r', long],
    };
    const left = async () => {
      const values = await here.cache.getMany(Object.values(keys));
      return Object.keys(keys).filter((_, index) => values[index] !== undefined);
    };
    for (const prefix of [[shown, 'a'], `${shown}:a:`]) {
      await here.cache.setMany(Object.values(keys).map((key) => [key, 1]));
      expect(await elsewhere.cache.deleteByPrefix(prefix)).toBe(3);
      expect(await left()).toEqual(['other', 'otherHashed']);
    }
    await here.cache.setMany(Object.values(keys).map((key) => [key, 1]));
    expect(await elsewhere.cache.deleteByPrefix([shown, 'a', long])).toBe(2);
    expect(await left()).toEqual(['written', 'other', 'otherHashed']);
    expect(await elsewhere.cache.deleteByPrefix('r')).toBe(3);
  });

  it('leaves nothing of a load that was under way, also when it stores while Redis is being searched', async () => {
    // Enough of others for several steps, and enough loads for some to be stored where has been searched, with leases where has not.
    const foreign = Array.from({ length: 1_600 }, (_, index) => [`other:${index}`, ''] as const);
    const client = redis.client();
    await Promise.all(foreign.map((entry) => client.set(...entry)));
    const names = Array.from({ length: 40 }, (_, index) => ['flight', index]);
    for (const steps of [3, 5, 8]) {
      const read = gate();
      const loads = names.map((name) => here.cache.getOrSet(name, () => read.opened.then(() => 'old')));
      await eventually(async () => {
        const leases = await Promise.all(names.map((_, index) => client.exists(`shop:cache-lease:{flight:${index}}`)));
        expect(leases).not.toContain(0);
      });
      await using stepper = new Stepper(elsewhere);
      const deletion = await stepper.start(() => elsewhere.cache.deleteByPrefix(['flight', '']));
      for (let step = 0; step < steps; step += 1) await stepper.step();
      read.open();
      await Promise.all(loads);
      while (await stepper.step());
      await deletion.result;
      expect(await elsewhere.cache.getMany(names)).toEqual(names.map(() => undefined));
    }
  });
});
