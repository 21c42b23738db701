import { InvalidKeyError, RedisUnavailableError } from '@redstart/redis-core';
import { LockTimeoutError } from '../src/index.js';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import { DrivenHost } from './driven-host.js';
import { deferred, failureOf, startHost, takenOneByOne, watch, type Host } from './support.js';

describeOn(standalone, cluster)('several locks', (redis) => {
  let host: Host;
  let other: Host;
  beforeAll(async () => {
    host = await startHost(redis.connection);
    other = await startHost(redis.connection);
  });
  afterAll(async () => {
    await host.app.close();
    await other.app.close();
  });

  it('takes a flat array as the parts of one key, and an array of arrays as several', async () => {
    await using one = await host.locks.acquire(['a', 'b']);
    expect(one.keys).toEqual(['shop:lock:{a:b}']);
    await using two = await host.locks.acquire([['b'], ['a'], ['b'], ['order', 7]]);
    expect(two.keys).toEqual(['shop:lock:{a}', 'shop:lock:{b}', 'shop:lock:{order:7}']);
    await expect(host.locks.acquire([])).rejects.toThrow(InvalidKeyError);
  });

  it('holds all of them under one token and one fencing token that none has seen', async () => {
    const client = redis.client();
    const ahead = Date.now() * 1_000 + 60_000_000;
    await client.set('shop:lock:{b}:fence', ahead, 'PX', 60_000);
    const lock = await host.locks.acquire([['a'], ['b'], ['c']], { ttl: '10s' });

    for (const key of lock.keys) {
      expect(await client.get(key)).toMatch(new RegExp(`^${lock.token}`));
      expect(await client.pttl(key)).toBeGreaterThan(9_000);
      expect(await client.get(`${key}:fence`)).toBe(`${lock.fencingToken}`);
    }
    expect(lock.fencingToken).toBe(ahead + 1);
    expect(await lock.release()).toBe(true);
    for (const key of lock.keys) expect(await client.exists(key)).toBe(0);
    await using single = await other.locks.acquire('a');
    expect(single.fencingToken).toBeGreaterThan(lock.fencingToken);
  });

  it('gives back what it had when one is not free in time', async () => {
    const client = redis.client();
    await using _held = await other.locks.acquire('b');
    const error = await failureOf(host.locks.acquire([['a'], ['b'], ['c']], { waitTimeout: '150ms' }));

    expect(error).toBeInstanceOf(LockTimeoutError);
    expect(error).toMatchObject({ key: 'shop:lock:{b}' });
    expect(await client.exists('shop:lock:{a}')).toBe(0);
    expect(await client.exists('shop:lock:{c}')).toBe(0);
    expect(await host.locks.tryAcquire([['a'], ['b']])).toBeNull();
    expect(await client.exists('shop:lock:{a}')).toBe(0);
  });

  it('keeps the ones it has alive while it waits for the rest', async () => {
    const held = await other.locks.acquire('b');
    const acquired = host.locks.acquire([['a'], ['b']], { ttl: 900, waitTimeout: '5s' });
    await eventually(async () => {
      expect((await host.locks.inspect('b'))?.waiting).toBe(1);
    });
    const { fencingToken } = (await host.locks.inspect('a')) ?? {};
    const until = performance.now() + 1_500;
    while (performance.now() < until) expect(await other.locks.tryAcquire('a')).toBeNull();
    await held.release();
    await using lock = await acquired;
    expect(lock.isHeld).toBe(true);
    expect(lock.fencingToken).toBeGreaterThan(fencingToken ?? Infinity);
  });

  it('does not deadlock when two callers name the same locks in opposite order', async () => {
    let inside = 0;
    const work = async () => {
      expect(++inside).toBe(1);
      await Promise.resolve();
      inside--;
    };
    await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        (i % 2 ? host : other).locks.withLock(i % 3 ? [['x'], ['y']] : [['y'], ['x']], {}, work),
      ),
    );
  });

  it('is lost as a whole when one of them is', async () => {
    const started = deferred();
    const result = host.locks.withLock([['a'], ['b']], { ttl: 300 }, async (lock) => {
      started.resolve();
      await new Promise((resolve) => {
        lock.signal.addEventListener('abort', resolve);
      });
    });
    const rejected = failureOf(result);
    await started.promise;
    await redis.client().del('shop:lock:{b}');
    expect(await rejected).toMatchObject({ code: 'LOCK_LOST', reason: 'taken' });
    await eventually(async () => {
      expect(await redis.client().exists('shop:lock:{a}')).toBe(0);
    });
  });

  it('leaves nothing behind when one is lost while another one is still being asked for', async () => {
    const client = redis.client();
    await using driven = await DrivenHost.start(redis.connection);
    await takenOneByOne(client, 'a');
    const stranger = `${'d'.repeat(22)}dead-host:1:abcdefgh`;
    const slow = deferred();
    const sent = deferred();
    // The first two take the locks, the next two unite them: the one of `a` is on its way for long, and `b` is gone when its own arrives.
    driven.onCall('lock.acquire', async (send, nth) => {
      if (nth === 3) await slow.promise;
      if (nth === 4) {
        await client.set('shop:lock:{b}', stranger, 'PX', 60_000);
        sent.resolve();
      }
      return send();
    });
    const failure = failureOf(driven.locks.acquire([['a'], ['b']], { ttl: '60s' }));
    const state = watch(failure);
    await sent.promise;
    for (let turn = 0; turn < 5; turn++) await client.ping();
    expect(state.settled).toBe(false);
    slow.resolve();

    expect(await failure).toMatchObject({ code: 'LOCK_LOST', reason: 'taken', key: 'shop:lock:{b}' });
    expect(driven.calls.get('lock.acquire')).toBe(4);
    expect(await client.exists('shop:lock:{a}')).toBe(0);
    expect(await client.get('shop:lock:{b}')).toBe(stranger);
  });

  it('gives back what it had when one can not be asked for any more', async () => {
    const client = redis.client();
    await using driven = await DrivenHost.start(redis.connection);
    await takenOneByOne(client, 'a');
    driven.onCall('lock.acquire', (send, nth) => (nth === 4 ? Promise.reject(new Error('no permission')) : send()));
    const failure = await failureOf(driven.locks.acquire([['a'], ['b']], { ttl: '60s' }));
    expect(failure.message).toBe('no permission');
    expect(await client.exists('shop:lock:{a}')).toBe(0);
    expect(await client.exists('shop:lock:{b}')).toBe(0);
  });
});

describeOn(standalone)('several locks in one slot', (redis) => {
  let host: DrivenHost;
  let other: DrivenHost;
  beforeEach(async () => {
    host = await DrivenHost.start(redis.connection);
    other = await DrivenHost.start(redis.connection);
  });
  afterEach(async () => {
    await host[Symbol.asyncDispose]();
    await other[Symbol.asyncDispose]();
  });
  const holders = () => redis.client().mget('shop:lock:{a}', 'shop:lock:{b}', 'shop:lock:{c}');
  const all = [['a'], ['b'], ['c']];

  it('are taken by one script, with a fencing token that none of them has seen', async () => {
    const ahead = Date.now() * 1_000 + 60_000_000;
    await redis.client().set('shop:lock:{b}:fence', ahead, 'PX', 60_000);
    await using lock = await host.locks.acquire(all, { ttl: '10s' });
    expect([...host.calls]).toEqual([['lock.acquire-all', 1]]);
    expect(lock.fencingToken).toBe(ahead + 1);
    expect(await redis.client().mget('shop:lock:{a}:fence', 'shop:lock:{c}:fence')).toEqual(
      [lock.fencingToken, lock.fencingToken].map(String),
    );
    for (const key of lock.keys) {
      expect(await redis.client().pttl(key)).toBeGreaterThan(9_000);
      expect(await redis.client().pttl(`${key}:fence`)).toBeGreaterThan(80_000_000);
    }
    expect(lock.remainingMs).toBe(10_000 * 0.99 - 2);
  });

  it('are refused by one script, which changes nothing, when one is held', async () => {
    await using held = await other.locks.acquire('b');
    expect(await host.locks.tryAcquire(all)).toBeNull();
    expect([...host.calls]).toEqual([['lock.acquire-all', 1]]);
    expect(await holders()).toEqual([null, expect.stringContaining(held.token), null]);
    const outcome = await host.locks.tryWithLock(all, {}, () => Promise.resolve());
    expect(outcome).toEqual({ ran: false, key: 'shop:lock:{b}' });
  });

  it('do not pass by those who wait for one of them', async () => {
    const held = await other.locks.acquire('b');
    const waiting = other.locks.acquire('b');
    await eventually(async () => {
      expect((await host.locks.inspect('b'))?.waiting).toBe(1);
    });
    // Held by nobody for a moment, as after the end of a lease; the one in the queue has not looked yet.
    await redis.client().del('shop:lock:{b}');
    expect(await host.locks.tryAcquire(all)).toBeNull();
    expect(await holders()).toEqual([null, expect.any(String), null]);
    await (await waiting).release();
    await held.release();
    await using lock = await host.locks.acquire(all);
    expect(lock.isHeld).toBe(true);
  });

  it('are recognised when the answer gets lost, and given back when it is all in vain', async () => {
    const lostAnswer = async <T>(send: () => Promise<T>): Promise<T> => {
      await send();
      throw new RedisUnavailableError('lock.acquire-all: no answer', 'unknown');
    };
    host.onCall('lock.acquire-all', lostAnswer);
    const lock = await host.locks.acquire(all);
    expect(await holders()).toEqual(Array(3).fill(expect.stringContaining(lock.token)));
    await lock.release();

    host.onCall('lock.acquire', () => Promise.reject(new Error('no permission')));
    expect((await failureOf(host.locks.acquire(all))).message).toBe('no permission');
    await eventually(async () => {
      expect(await holders()).toEqual([null, null, null]);
    });
  });

  it('ask for nothing when the signal was aborted before', async () => {
    const reason = new Error('not any more');
    expect(await failureOf(host.locks.acquire(all, { signal: AbortSignal.abort(reason) }))).toBe(reason);
    expect(host.calls.size).toBe(0);
  });
});
