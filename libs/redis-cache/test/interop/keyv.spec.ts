import { createCache } from 'cache-manager';
import { cluster, describeOn, eventually, RedisServer, standalone } from '@redstart/redis-testing';
import { Keyv, type KeyvStoreAdapter } from 'keyv';
import { RedisKeyvStore } from '../../src/index.js';
import { startCache } from '../app.js';

/** All that a Keyv says it has. */
async function listed(keyv: Keyv): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  const all = keyv.iterator?.(undefined);
  if (all === undefined) throw new TypeError('This Keyv can not iterate.');
  for await (const entry of all) {
    const [key, value] = entry as [string, unknown];
    if (key in found) throw new Error(`${key} came twice`);
    found[key] = value;
  }
  return found;
}

describeOn(standalone, cluster)('a Keyv on the cache', (redis) => {
  it('is what Keyv asks of a store: get, set, has, delete, one and many', async () => {
    await using app = await startCache(redis.connection);
    const store: KeyvStoreAdapter = new RedisKeyvStore(app.cache);
    const keyv = new Keyv({ store, throwOnErrors: true });

    expect(await keyv.get('a')).toBeUndefined();
    expect(await keyv.set('a', { seats: [1, 2] })).toBe(true);
    expect(await keyv.get('a')).toEqual({ seats: [1, 2] });
    expect(await keyv.has('a')).toBe(true);
    expect(await keyv.has('b')).toBe(false);
    expect(await keyv.delete('a')).toBe(true);
    expect(await keyv.delete('a')).toBe(false);
    expect(await keyv.get('a')).toBeUndefined();

    const three = [
      { key: 'a', value: 1 },
      { key: 'b', value: null },
      { key: 'c', value: 'three' },
    ];
    expect(await keyv.setMany(three)).toEqual([true, true, true]);
    expect(await keyv.getMany(['c', 'nothing', 'b', 'a'])).toEqual(['three', undefined, null, 1]);
    expect(await keyv.get(['a', 'c'])).toEqual([1, 'three']);
    expect(await keyv.hasMany(['a', 'nothing'])).toEqual([true, false]);
    expect(await keyv.delete(['a', 'b'])).toBe(true);
    expect(await keyv.deleteMany(['nothing', 'c'])).toBe(false);
    expect(await keyv.getMany(['a', 'b', 'c'])).toEqual([undefined, undefined, undefined]);
  });

  it('gives back falsy values, binary data and what looks like a key', async () => {
    await using app = await startCache(redis.connection);
    const keyv = new Keyv({ store: new RedisKeyvStore(app.cache) });
    const values = { zero: 0, no: false, empty: '', nothing: null, bytes: Buffer.from([0, 255]), '{a}:%*': 'odd key' };
    for (const [key, value] of Object.entries(values)) await keyv.set(key, value);
    for (const [key, value] of Object.entries(values)) expect(await keyv.get(key)).toEqual(value);
    expect(await listed(keyv)).toEqual(values);
  });

  it('ends a value with its ttl; what has none lives as long as the cache allows', async () => {
    await using app = await startCache(redis.connection, { ttl: '1s', maxTtl: '1h', jitter: 0 });
    const keyv = new Keyv({ store: new RedisKeyvStore(app.cache), namespace: 'n', useKeyPrefix: false });
    const client = redis.client();
    await keyv.set('short', 1, 80);
    await keyv.set('long', 1, 40 * 24 * 3_600_000);
    await keyv.set('none', 1);
    await keyv.setMany([
      { key: 'one of many', value: 1, ttl: 600_000 },
      { key: 'zero', value: 1, ttl: 0 },
    ]);
    await eventually(async () => (await client.exists('shop:cache:n:{short}')) === 0);
    expect(await keyv.get('short')).toBeUndefined();
    for (const key of ['long', 'none', 'zero']) {
      expect(await client.pttl(`shop:cache:n:{${key}}`)).toBeGreaterThan(3_500_000);
    }
    expect(await client.pttl('shop:cache:n:{one of many}')).toBeGreaterThan(500_000);
    expect(await client.pttl('shop:cache:n:{one of many}')).toBeLessThanOrEqual(600_000);
    expect((await keyv.getRaw('long'))?.expires).toBeGreaterThan(Date.now() + 39 * 24 * 3_600_000);
    await keyv.set('none', 1, -1);
    expect(await client.exists('shop:cache:n:{none}')).toBe(0);
  });

  it('clears and lists its namespace, and nothing else', async () => {
    await using app = await startCache(redis.connection);
    const store = (namespace: string) => new Keyv({ store: new RedisKeyvStore(app.cache), namespace });
    const [here, inside, other] = [store('here'), store('here:inside'), store('other')];
    const without = new Keyv({ store: new RedisKeyvStore(app.cache) });
    without.namespace = undefined;
    await app.cache.set('a', 'of the cache', { tags: ['x'] });
    for (const [keyv, value] of [
      [here, 1],
      [inside, 2],
      [other, 3],
      [without, 4],
    ] as const) {
      await keyv.set('a', value);
    }
    expect(await listed(other)).toEqual({ a: 3 });
    expect(await here.get('a')).toBe(1);
    await other.clear();
    expect(await listed(other)).toEqual({});
    expect(await Promise.all([here, inside, other, without].map((keyv) => keyv.get('a')))).toEqual([
      1,
      2,
      undefined,
      4,
    ]);
    await without.clear();
    expect(await without.get('a')).toBeUndefined();
    expect(await here.get('a')).toBe(1);
    expect(await app.cache.get('a')).toBe('of the cache');
  });

  it('lists thousands of values, each once, with none that has ended or been cleared', async () => {
    await using app = await startCache(redis.connection);
    const keyv = new Keyv({ store: new RedisKeyvStore(app.cache), namespace: 'many', useKeyPrefix: false });
    await keyv.set('old', 1);
    await keyv.clear();
    const entries = Array.from({ length: 1_500 }, (_, index) => ({ key: `k${index}`, value: index }));
    await keyv.setMany(entries);
    expect(await listed(keyv)).toEqual(Object.fromEntries(entries.map(({ key, value }) => [key, value])));
  });

  it('leaves the connection alone when it disconnects', async () => {
    await using app = await startCache(redis.connection);
    const keyv = new Keyv({ store: new RedisKeyvStore(app.cache) });
    await keyv.set('a', 1);
    await keyv.disconnect();
    expect(await keyv.get('a')).toBe(1);
    expect(await app.cache.getOrSet('b', () => 2)).toBe(2);
  });

  it('serves cache-manager as a store', async () => {
    await using app = await startCache(redis.connection);
    const cache = createCache({ stores: [new Keyv({ store: new RedisKeyvStore(app.cache) })] });
    let loads = 0;
    const load = () => (loads += 1);
    expect(await cache.wrap('a', load)).toBe(1);
    expect(await cache.wrap('a', load)).toBe(1);
    expect(await cache.mget(['a', 'b'])).toEqual([1, undefined]);
    await cache.del('a');
    expect(await cache.wrap('a', load)).toBe(2);
    await cache.clear();
    expect(await cache.get('a')).toBeUndefined();
    await cache.disconnect();
    expect(await app.cache.getOrSet('x', () => 1)).toBe(1);
  });
});

describe('a Keyv while Redis is away', () => {
  it('reads nothing, and emits what could not be written', async () => {
    await using server = await RedisServer.start();
    await using app = await startCache({ url: server.url }, { budget: 250 });
    const keyv = new Keyv({ store: new RedisKeyvStore(app.cache) });
    await using patient = await startCache({ url: server.url });
    await new Keyv({ store: new RedisKeyvStore(patient.cache) }).set('a', 1);
    const errors: unknown[] = [];
    keyv.on('error', (error: unknown) => errors.push(error));
    await server.kill();
    expect(await keyv.get('a')).toBeUndefined();
    expect(await keyv.getMany(['a', 'b'])).toEqual([undefined, undefined]);
    expect(await keyv.set('a', 2)).toBe(false);
    expect(await keyv.delete('a')).toBe(false);
    expect(errors).toMatchObject([{ code: 'REDIS_UNAVAILABLE' }, { code: 'REDIS_UNAVAILABLE' }]);
  }, 60_000);
});
