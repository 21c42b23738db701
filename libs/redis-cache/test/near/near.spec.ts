import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { OptionsError } from '@redstart/redis-core';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { cluster, describeOn, eventually, sentinel, standalone } from '@redstart/redis-testing';
import type { CacheModuleOptions, CacheService } from '../../src/index.js';
import { NearCache } from '../../src/near/near-cache.js';
import { NearFetch } from '../../src/near/near-tier.js';
import { nowhere, startCache, type CacheApp } from '../app.js';
import { patience, readBy, startNear, warm } from './near-app.js';

jest.setTimeout(90_000);
beforeEach(() => {
  jest.spyOn(Logger.prototype, 'log').mockImplementation(() => undefined);
});
afterEach(() => {
  jest.restoreAllMocks();
});

describeOn(
  standalone,
  cluster,
  sentinel,
)('the near tier', (redis) => {
  let here: CacheApp;
  let elsewhere: CacheApp;
  beforeAll(async () => {
    here = await startNear(redis.connection);
    elsewhere = await startNear(redis.connection);
  });
  afterAll(async () => {
    await here[Symbol.asyncDispose]();
    await elsewhere[Symbol.asyncDispose]();
  });

  it('answers what this process has read before, and counts it', async () => {
    await here.cache.set('flight', { seats: 1 });
    await warm(here, () => here.cache.get('flight'));
    const load = jest.fn(() => 'loaded');
    expect(await readBy(here, () => here.cache.getOrSet('flight', load))).toEqual({ value: { seats: 1 }, near: true });
    expect(await readBy(here, () => here.cache.has('flight'))).toEqual({ value: true, near: true });
    expect(await readBy(here, () => here.cache.getMany(['flight', 'none']))).toEqual({
      value: [{ seats: 1 }, undefined],
      near: true,
    });
    expect(await here.cache.getEntry('flight')).toMatchObject({ value: { seats: 1 }, tier: 'near', stale: false });
    expect(load).not.toHaveBeenCalled();
  });

  it('gives every value the shape that Redis gives it, cached nothings included', async () => {
    const values = [
      null,
      undefined,
      0,
      '',
      new Date(5),
      new Map([[{ a: 1 }, new Set([2n])]]),
      Buffer.from('x'),
      [{ u: undefined }],
    ];
    await using far = await startCache(redis.connection, { near: false });
    for (const [index, value] of values.entries()) await here.cache.set(['shape', index], value);
    for (const index of values.keys()) {
      const key = ['shape', index];
      await warm(here, () => here.cache.getEntry(key));
      const near = await readBy(here, () => here.cache.getEntry(key));
      expect(near.near).toBe(true);
      expect(near.value?.value).toStrictEqual((await far.cache.getEntry(key))?.value);
    }
  });

  type Change = readonly [string, (cache: CacheService, round: number) => Promise<unknown>, unknown];
  const changes: Change[] = [
    ['set', (cache, round) => cache.set('flight', round), 'round'],
    ['delete', (cache) => cache.delete('flight'), undefined],
    ['an invalidated tag', (cache) => cache.invalidateTags('flights'), undefined],
    ['a tag marked stale', (cache) => cache.markTagsStale('flights'), undefined],
    ['a value marked stale', (cache) => cache.markStale('flight'), undefined],
    ['clear', (cache) => cache.clear(), undefined],
    ['a deletion by prefix', (cache) => cache.deleteByPrefix('fli'), undefined],
    ['a short ttl', (cache) => cache.touch('flight', { ttl: 1 }).then(() => passed(5)), undefined],
  ];

  it.each(changes)('shows this process its own change at once: %s', async (_name, change, expected) => {
    for (let round = 0; round < 15; round += 1) {
      await here.cache.set('flight', 'old', { tags: ['airline', 'flights'] });
      await warm(here, () => here.cache.get('flight'));
      await change(here.cache, round);
      expect(await here.cache.get('flight')).toBe(expected === 'round' ? round : expected);
    }
  });

  it.each(changes)(
    'learns of a change by another process, and never goes back: %s',
    async (_name, change, expected) => {
      for (let round = 0; round < 5; round += 1) {
        await here.cache.set('flight', 'old', { tags: ['airline', 'flights'] });
        await warm(here, () => here.cache.get('flight'));
        await change(elsewhere.cache, round);
        const seen: unknown[] = [];
        await eventually(async () => {
          seen.push(await here.cache.get('flight'));
          return seen.at(-1) !== 'old';
        }, patience);
        for (let i = 0; i < 20; i += 1) seen.push(await here.cache.get('flight'));
        const fresh = expected === 'round' ? round : expected;
        expect(seen.slice(seen.findIndex((value) => value !== 'old'))).toEqual(Array(21).fill(fresh));
      }
    },
  );

  it('remembers nothing of reads that have left no entry', async () => {
    const fetch = jest.spyOn(NearCache.prototype, 'fetch');
    const refusing: StandardSchemaV1 = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: () => {
          throw new Error('no validation');
        },
      },
    };
    await here.cache.set('flight', 1);
    await here.cache.set('stale', 1, { staleIfError: '1m' });
    await here.cache.markStale('stale');
    await warm(here, () => here.cache.get('flight'));
    const near: unknown = fetch.mock.contexts.at(-1);
    if (!(near instanceof NearCache)) throw new TypeError('Nothing has been fetched.');
    near.tier.forget();
    fetch.mockClear();
    await here.cache.getMany(Array.from({ length: 50 }, (_, number) => ['none', number]));
    expect(await here.cache.get('stale')).toBeUndefined();
    await expect(here.cache.get('flight', { schema: refusing })).rejects.toThrow('no validation');
    expect(fetch.mock.results.filter(({ value }) => value instanceof NearFetch)).toHaveLength(52);
    expect(near.tier.size).toMatchObject({ entries: 0, facts: 0 });
  });

  it('learns of what a client without this library does', async () => {
    const client = redis.client();
    for (const change of [
      () => client.unlink('shop:cache:{flight}'),
      () => client.set('shop:cache:{flight}:tag', 'nonsense'),
      () => client.unlink('shop:cache:version'),
      () => redis.flush(),
    ]) {
      await here.cache.set('flight', 'old', { tags: ['flight'] });
      await warm(here, () => here.cache.get('flight'));
      await change();
      await eventually(async () => (await here.cache.get('flight')) === undefined, patience);
    }
  });

  it('knows of tags that the caller does not name, and takes nothing for an entry that lacks one he names', async () => {
    await here.cache.set('flight', 'tagged', { tags: ['a', ['b', 'c:d'], 'e%'] });
    await warm(here, () => here.cache.get('flight'));
    for (const tags of [['a'], [['b', 'c:d']], ['e%', 'a'], []]) {
      expect(await readBy(here, () => here.cache.get('flight', { tags }))).toEqual({ value: 'tagged', near: true });
    }
    for (const tags of [['f'], ['a', 'b'], ['e%25'], ['b:c%3Ad', 'b:c:d']]) {
      expect(await readBy(here, () => here.cache.get('flight', { tags }))).toEqual({ value: undefined, near: false });
    }
    expect(await readBy(here, () => here.cache.get('flight'))).toEqual({ value: 'tagged', near: true });
  });

  it('holds a value no longer than it is fresh, and none whose ttl slides', async () => {
    await warm(here, async () => {
      // On a slow machine it may be over before it has been read twice.
      if ((await here.cache.get('short')) !== undefined) return;
      await here.cache.set('short', 1, { ttl: '1500ms', staleWhileRevalidate: '1h' });
    });
    await eventually(async () => (await here.cache.get('short')) === undefined, patience);
    // One that hears nothing, since otherwise it would hear of its own reads: they move the ttl on.
    await using deaf = await startNear(redis.connection, { coherence: 'none' });
    await deaf.cache.set('sliding', 1, { sliding: true });
    await deaf.cache.set('other', 1);
    await warm(deaf, () => deaf.cache.get('other'));
    for (let i = 0; i < 3; i += 1) {
      expect(await readBy(deaf, () => deaf.cache.get('sliding'))).toEqual({ value: 1, near: false });
    }
  });

  it('has a schema look at each hit, and lets Redis answer for what it refuses', async () => {
    const validate = jest.fn((value: unknown) => (value === 1 ? { value: 'one' } : { issues: [{ message: 'no' }] }));
    const schema = { '~standard': { version: 1 as const, vendor: 'spec', validate } };
    await here.cache.set('flight', 1);
    await warm(here, () => here.cache.get('flight', { schema }));
    expect(await readBy(here, () => here.cache.get('flight', { schema }))).toEqual({ value: 'one', near: true });
    expect(await readBy(here, () => here.cache.get('flight'))).toEqual({ value: 1, near: true });
    await here.cache.set('flight', 2);
    await warm(here, () => here.cache.get('flight'));
    expect(await here.cache.get('flight', { schema })).toBeUndefined();
  });

  it('refreshes early what it holds', async () => {
    const load = jest.fn(() => 'new');
    await here.cache.set('flight', 'old', { ttl: '1h' });
    // As its header has it after a load of half an hour: almost every draw finds it due. A draw that is made up would be drawn by the client as well, which picks nodes of a Cluster by it.
    const client = redis.client();
    const bytes = await client.getBuffer('shop:cache:{flight}');
    if (bytes === null) throw new Error('there is no such entry');
    bytes.writeUInt32BE(1_800_000, 22);
    await client.set('shop:cache:{flight}', bytes, 'KEEPTTL');
    await warm(here, () => here.cache.get('flight'));
    expect(await here.cache.getOrSet('flight', load, { ttl: '1h', refreshAhead: 0.9 })).toBe('old');
    expect(load).not.toHaveBeenCalled();
    await eventually(async () => {
      expect(await here.cache.getOrSet('flight', load, { ttl: '1h', refreshAhead: { beta: 100 } })).toBe('new');
    }, patience);
    expect(load).toHaveBeenCalled();
  });

  it('shares frozen values where that is asked for, from either tier', async () => {
    await using frozen = await startNear(redis.connection, { near: { share: 'frozen' } });
    await frozen.cache.set('flight', { seats: [1] });
    expect(Object.isFrozen(await frozen.cache.get('flight'))).toBe(true);
    await warm(frozen, () => frozen.cache.get('flight'));
    const [one, other] = [await frozen.cache.get<{ seats: number[] }>('flight'), await frozen.cache.get('flight')];
    expect(one).toBe(other);
    expect(() => one?.seats.push(2)).toThrow(TypeError);
  });

  it('keeps packed values unpacked, and large ones within its bounds', async () => {
    await using small = await startNear(redis.connection, { near: { maxBytes: 100_000 } });
    const text = 'x'.repeat(3_000);
    await small.cache.set('packed', text);
    await small.cache.set('large', 'y'.repeat(10_000));
    await warm(small, () => small.cache.get('packed'));
    await small.cache.get('large');
    expect(await readBy(small, () => small.cache.get('packed'))).toEqual({ value: text, near: true });
    expect(await readBy(small, () => small.cache.get('large'))).toMatchObject({ near: false });
  });

  it('leaves no connection behind', async () => {
    const servers = redis.topology === 'cluster' ? await redis.cluster.masters() : [redis.server];
    const tracking = async () => {
      const lists = await Promise.all(
        servers.map((server) => server.ask(async (client) => String(await client.client('LIST')))),
      );
      return lists.join('').match(/flags=\S*t/g)?.length ?? 0;
    };
    for (const each of [here, elsewhere]) {
      await each.cache.set('flight', 1);
      await warm(each, () => each.cache.get('flight'));
    }
    // What the specs before have opened takes its time to go.
    const before = 2 * servers.length;
    await eventually(async () => (await tracking()) === before, patience);
    const app = await startNear(redis.connection);
    expect(await tracking()).toBe(before); // none before the first read
    await app.cache.set('flight', 1);
    await warm(app, () => app.cache.get('flight'));
    expect(await tracking()).toBe(before + servers.length);
    await app[Symbol.asyncDispose]();
    await eventually(async () => (await tracking()) === before, patience);
  });
});

describeOn(standalone, cluster)('the near tier by Pub/Sub', (redis) => {
  it('learns of what other processes change, with and without a near tier of their own', async () => {
    const coherence = 'pubsub';
    await using here = await startNear(redis.connection, { coherence });
    await using elsewhere = await startNear(redis.connection, { coherence });
    await using worker = await startCache(redis.connection, { coherence, near: false });
    for (const { cache } of [elsewhere, worker]) {
      for (const change of [
        () => cache.set('flight', 'new'),
        () => cache.delete('flight'),
        () => cache.invalidateTags('flights'),
        () => cache.clear(),
        () => cache.deleteByPrefix('fli'),
      ]) {
        await here.cache.set('flight', 'old', { tags: ['flights'] });
        await warm(here, () => here.cache.get('flight'));
        await change();
        await eventually(async () => (await here.cache.get('flight')) !== 'old', patience);
      }
    }
  });
});

describeOn(standalone)('the near tier by nothing', (redis) => {
  it('believes what it holds until its ttl is over, and still knows of its own changes', async () => {
    await using here = await startNear(redis.connection, { coherence: 'none', near: { ttl: '2s' } });
    await using elsewhere = await startCache(redis.connection);
    await here.cache.set('flight', 'old');
    await warm(here, () => here.cache.get('flight'));
    await here.cache.set('flight', 'mine');
    expect(await here.cache.get('flight')).toBe('mine');
    await warm(here, () => here.cache.get('flight'));
    await elsewhere.cache.set('flight', 'theirs');
    await eventually(async () => (await here.cache.get('flight')) === 'theirs', patience);
  });

  it('answers while Redis stands still', async () => {
    await using here = await startNear(redis.connection);
    await here.cache.set('flight', 1);
    await warm(here, () => here.cache.get('flight'));
    redis.server.pause();
    try {
      expect(await readBy(here, () => here.cache.get('flight'))).toEqual({ value: 1, near: true });
    } finally {
      redis.server.resume();
    }
  });
});

describe('options of the near tier', () => {
  const wrong: [string, CacheModuleOptions][] = [
    ['near.maxEntries', { near: { maxEntries: 0 } }],
    ['near.maxBytes', { near: { maxBytes: 1.5 } }],
    ['near.ttl', { near: { ttl: 0 } }],
    ['near.share', { near: { share: 'clone' as 'copy' } }],
    ['near.maxLag', { near: { maxLag: '10ms' } }],
    ['near', { near: { size: 1 } as object }],
    ['coherence', { coherence: 'eventual' as 'auto' }],
  ];
  it.each(wrong)('%s is refused when it is wrong', async (option, options) => {
    const boot = (async () => startCache(nowhere(), options))();
    await expect(boot).rejects.toThrow(OptionsError);
    await expect(boot).rejects.toThrow(option);
  });
});

function passed(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
