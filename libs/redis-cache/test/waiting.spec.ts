import { jest } from '@jest/globals';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import { getRedisConnectionToken, type RedisConnection } from '@redstart/redis-core';
import { WakeUps } from '../src/flight/wake-ups.js';
import { CacheCycleError } from '../src/index.js';
import { CacheKeys } from '../src/keys.js';
import { callsOf, gate, startCache, type CacheApp } from './app.js';

describeOn(standalone, cluster)('waiting for the load of another process', (redis) => {
  let here: CacheApp;
  let elsewhere: CacheApp;
  beforeEach(async () => {
    here = await startCache(redis.connection);
    elsewhere = await startCache(redis.connection);
  });
  afterEach(async () => {
    jest.restoreAllMocks();
    await here[Symbol.asyncDispose]();
    await elsewhere[Symbol.asyncDispose]();
  });

  const lease = () => redis.client().get('shop:cache-lease:{a}');
  const isAwaited = async () => (await lease())?.startsWith('+') === true;

  /** A load in `here` that another process waits for. */
  async function awaited<T>(end: (value: T) => void | Promise<void> = () => undefined) {
    const done = gate<T>();
    const first = here.cache.getOrSet('a', async () => {
      const value = await done.opened;
      await end(value);
      return value;
    });
    first.catch(() => undefined); // looked at where it matters
    await eventually(async () => (await lease()) !== null);
    return { first, finish: done.open };
  }

  it('is woken by its end, and asks nothing meanwhile', async () => {
    const { first, finish } = await awaited<string>();
    const never = jest.fn(() => 'never');
    const calls = await callsOf(elsewhere, async () => {
      const waiting = Array.from({ length: 20 }, () => elsewhere.cache.getOrSet('a', never));
      await eventually(isAwaited);
      // One waits, for all of them. Wherever it listens by now, it has looked once more since.
      await eventually(async () => (await heard()) > 0);
      finish('loaded');
      expect(new Set(await Promise.all(waiting))).toEqual(new Set(['loaded']));
    });
    expect(await first).toBe('loaded');
    expect(never).not.toHaveBeenCalled();
    expect(calls.filter((operation) => operation === 'cache.lease').length).toBeLessThanOrEqual(2);
  });

  /** How many listen for the end of a load. */
  async function heard(): Promise<number> {
    const client = redis.client();
    if (redis.topology === 'standalone') {
      return Number(((await client.call('PUBSUB', 'NUMSUB', 'shop:cache:wake')) as unknown[])[1]);
    }
    const counts = await Promise.all(
      redis.cluster.servers.map((server) =>
        server.ask(async (node) => (await node.call('PUBSUB', 'SHARDNUMSUB', 'shop:cache:{a}:wake')) as unknown[]),
      ),
    );
    return counts.reduce((sum, [, count]) => sum + Number(count), 0);
  }

  /** Without Cluster, one channel serves all values: whoever has listened once goes on, and is woken by nothing but messages. */
  async function listens(): Promise<void> {
    const done = gate();
    const slow = here.cache.getOrSet('before', () => done.opened);
    const client = redis.client();
    await eventually(async () => (await client.exists('shop:cache-lease:{before}')) === 1);
    const waiting = elsewhere.cache.getOrSet('before', () => undefined);
    await eventually(async () => (await client.get('shop:cache-lease:{before}'))?.startsWith('+') === true);
    if (redis.topology === 'standalone') await eventually(async () => (await heard()) > 0);
    done.open();
    await Promise.all([slow, waiting]);
  }

  it('goes on to load when the other one has failed', async () => {
    await listens();
    const { first, finish } = await awaited<string>(() => {
      throw new Error('database down');
    });
    const waiting = elsewhere.cache.getOrSet('a', () => 'mine');
    await eventually(isAwaited);
    await eventually(async () => (await heard()) > 0);
    finish('');
    await expect(first).rejects.toThrow('database down');
    expect(await waiting).toBe('mine');
    expect(await here.cache.get('a')).toBe('mine');
  });

  it('hears of a set, and takes what was set', async () => {
    const { first, finish } = await awaited<string>();
    const waiting = elsewhere.cache.getOrSet('a', () => 'never');
    await eventually(isAwaited);
    await here.cache.set('a', 'set');
    expect(await waiting).toBe('set');
    finish('old');
    expect(await first).toBe('old');
    expect(await elsewhere.cache.get('a')).toBe('set');
  });

  it('does not stand in line for values that are not stored: then all load at the same time', async () => {
    const done = gate();
    let running = 0;
    const unless = () => true;
    const load = async () => {
      running += 1;
      await done.opened;
      return 'not stored';
    };
    const first = gate();
    const leading = here.cache.getOrSet('a', () => first.opened, { unless });
    await eventually(async () => (await lease()) !== null);
    await using third = await startCache(redis.connection);
    const others = [elsewhere, third].map(({ cache }) => cache.getOrSet('a', load, { unless }));
    await eventually(isAwaited);
    await eventually(async () => (await heard()) === 2);
    first.open();
    await leading;
    await eventually(() => running === 2);
    done.open();
    expect(await Promise.all(others)).toEqual(['not stored', 'not stored']);
  });

  it('loads by itself when it has waited for long enough, and does not store', async () => {
    const { first, finish } = await awaited<string>();
    expect(await elsewhere.cache.getOrSet('a', () => 'mine', { waitTimeout: 50 })).toBe('mine');
    expect(await elsewhere.cache.get('a')).toBeUndefined();
    // In the same process, too: a loader that hangs must not hold up everybody for ever.
    const callers = Array.from({ length: 10 }, () => here.cache.getOrSet('a', () => 'also', { waitTimeout: 50 }));
    expect(new Set(await Promise.all(callers))).toEqual(new Set(['also']));
    finish('slow');
    expect(await first).toBe('slow');
    expect(await elsewhere.cache.get('a')).toBe('slow');
  });

  it('lets a caller leave, and the others have what they came for', async () => {
    const { first, finish } = await awaited<string>();
    const [stayingHere, stayingThere] = [here, elsewhere].map(({ cache }) => cache.getOrSet('a', () => 'never'));
    const leaving = new AbortController();
    const calls = [here, elsewhere].map(({ cache }) => cache.getOrSet('a', () => 'never', { signal: leaving.signal }));
    const outcomes = Promise.allSettled(calls);
    await eventually(isAwaited);
    leaving.abort(new Error('left'));
    expect(await outcomes).toMatchObject([{ reason: { message: 'left' } }, { reason: { message: 'left' } }]);
    finish('loaded');
    expect(await Promise.all([first, stayingHere, stayingThere])).toEqual(['loaded', 'loaded', 'loaded']);
    const gone = here.cache.getOrSet('b', () => 1, { signal: AbortSignal.abort(new Error('never came')) });
    await expect(gone).rejects.toThrow('never came');
  });

  it('lets the first caller leave as well', async () => {
    const leaving = new AbortController();
    const done = gate();
    const load = jest.fn(async () => {
      await done.opened;
      return 'loaded';
    });
    const first = here.cache.getOrSet('a', load, { signal: leaving.signal });
    await eventually(() => load.mock.calls.length === 1);
    const second = here.cache.getOrSet('a', load);
    leaving.abort(new Error('left'));
    await expect(first).rejects.toThrow('left');
    done.open();
    expect(await second).toBe('loaded');
    expect(load).toHaveBeenCalledTimes(1);
  });

  it('looks for itself after messages may have been missed', async () => {
    const { first, finish } = await awaited<string>();
    const waiting = elsewhere.cache.getOrSet('a', () => 'never');
    await eventually(isAwaited);
    await eventually(async () => (await heard()) > 0);
    // The message is lost: nobody listens for a moment.
    const servers = redis.topology === 'cluster' ? redis.cluster.servers : [redis.server];
    const kill = () =>
      Promise.all(servers.map((server) => server.ask((node) => node.call('CLIENT', 'KILL', 'TYPE', 'pubsub'))));
    await kill();
    finish('loaded');
    expect(await first).toBe('loaded');
    expect(await waiting).toBe('loaded');
  });

  it('does not wait for a lease of its own whose answer was lost', async () => {
    const { first, finish } = await awaited<string>();
    const [sign, owner] = /^(.)(.+)\./.exec((await lease()) ?? '')?.slice(1) ?? [];
    finish('loaded');
    await first;
    await redis.client().set('shop:cache-lease:{b}', `${sign}${owner}.lost`, 'PX', 600_000);
    expect(await here.cache.getOrSet('b', () => 'loaded')).toBe('loaded');
    expect(await here.cache.get('b')).toBe('loaded');
  });

  it('tells a loader that waits for itself, also across two keys that wait for each other', async () => {
    const { cache } = here;
    const started = [gate(), gate()] as const;
    const one = cache.getOrSet('x', async () => {
      started[0].open();
      await started[1].opened;
      return cache.getOrSet('y', () => 1);
    });
    const two = cache.getOrSet('y', async () => {
      started[1].open();
      await started[0].opened;
      return cache.getOrSet('x', () => 1);
    });
    const outcomes = await Promise.allSettled([one, two]);
    const cycles = outcomes.filter(({ status }) => status === 'rejected');
    expect(cycles.length).toBeGreaterThan(0);
    expect(cycles.every((outcome) => 'reason' in outcome && outcome.reason instanceof CacheCycleError)).toBe(true);
  });

  it('listens for a value for as long as one of its loads is under way, and not longer', () => {
    const connection = here.context.get<RedisConnection>(getRedisConnectionToken());
    const keys = CacheKeys.of(connection.keys, 'default');
    const wakeUps = new WakeUps(connection, keys, 250);
    const [first, second] = [wakeUps.open(keys.entry('a')), wakeUps.open(keys.entry('a'))];
    const other = wakeUps.open(keys.entry('b'));
    expect(wakeUps.size).toBe(2);
    first.close();
    other.close();
    expect(wakeUps.size).toBe(1);
    second.close();
    expect(wakeUps.size).toBe(0);
  });
});
