import { hashSlot, InvalidKeyError, RedisUnavailableError } from '@redstart/redis-core';
import { LockTimeoutError } from '../src/index.js';
import { cluster, describeOn, eventually, sentinel, standalone } from '@redstart/redis-testing';
import { DrivenHost } from './driven-host.js';
import { deferred, failureOf, startHost, takenOneByOne, watch, type Host } from './support.js';

describeOn(
  standalone,
  sentinel,
  cluster,
)('several locks', (redis) => {
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

  it('takes one that is named several times, in whichever spelling, once: nobody waits for himself', async () => {
    await using lock = await host.locks.acquire(
      [
        ['order', 7],
        ['order', '7'],
        ['order', 7n],
      ],
      { waitTimeout: 0 },
    );
    expect(lock.keys).toEqual(['shop:lock:{order:7}']);
    expect((await host.locks.inspect('order:7'))?.fencingToken).toBe(lock.fencingToken);
    await using two = await host.locks.acquire([['c'], ['d'], ['c']], { waitTimeout: 0 });
    expect(two.keys).toEqual(['shop:lock:{c}', 'shop:lock:{d}']);
  });

  it('holds all of them under one token and one fencing token that none has seen', async () => {
    const client = redis.client();
    const ahead = Date.now() * 1_000 + 60_000_000;
    await client.set('shop:lock:{b}:fence', ahead, 'PX', 60_000);
    const lock = await host.locks.acquire([['a'], ['b'], ['c']], { ttl: '10s' });

    for (const key of lock.keys) {
      expect(await client.get(key)).toMatch(new RegExp(`^${lock.token}`));
      expect(await client.pttl(key)).toBeGreaterThan(6_000);
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
    const client = redis.client();
    await using driven = await DrivenHost.start(redis.connection);
    const held = await other.locks.acquire('b');
    const acquired = driven.locks.acquire([['a'], ['b']], { ttl: '9s' });
    await eventually(async () => {
      expect((await host.locks.inspect('b'))?.waiting).toBe(1);
    });
    const { fencingToken } = (await host.locks.inspect('a')) ?? {};
    await client.pexpire('shop:lock:{a}', 4_000); // As if time had passed in Redis, too.
    driven.clock.advance(3_000);
    await eventually(async () => {
      expect(await client.pttl('shop:lock:{a}')).toBeGreaterThan(5_000);
    });
    await held.release();
    await using lock = await acquired;
    expect(lock.isHeld).toBe(true);
    expect(lock.fencingToken).toBeGreaterThan(fencingToken ?? Infinity);
    // Whoever is next at any of them gets a higher one, by whichever clock.
    for (const key of lock.keys) expect(await client.get(`${key}:fence`)).toBe(`${lock.fencingToken}`);
  });

  it('holds all of them under one fencing token, even if one of them lapses meanwhile', async () => {
    const client = redis.client();
    await using driven = await DrivenHost.start(redis.connection);
    await takenOneByOne(client, 'a');
    driven.onCall('lock.acquire', async (send, nth) => {
      if (nth === 3) await client.del('shop:lock:{a}');
      return send();
    });
    await using lock = await driven.locks.acquire([['a'], ['b']]);
    for (const key of lock.keys) expect(await client.get(`${key}:fence`)).toBe(`${lock.fencingToken}`);
  });

  it('does not deadlock when several callers name overlapping sets in opposite orders', async () => {
    await using third = await startHost(redis.connection);
    const inside = new Set<string>();
    const entered = new Map<string, number>();
    const sets = ['x y', 'y x', 'z y', 'y z', 'x z', 'z x', 'z y x', 'x y z'].map((names) => names.split(' '));
    const calls = [host, other, third].flatMap(({ locks }) =>
      sets.map((names) =>
        locks.withLock(
          names.map((name) => [name]),
          {},
          async () => {
            for (const name of names) {
              expect(inside).not.toContain(name);
              inside.add(name);
              entered.set(name, (entered.get(name) ?? 0) + 1);
            }
            await new Promise(setImmediate);
            for (const name of names) inside.delete(name);
          },
        ),
      ),
    );
    await Promise.all(calls);
    expect(Object.fromEntries(entered)).toEqual({ x: 18, y: 18, z: 18 });
    expect(await Promise.all(['x', 'y', 'z'].map((name) => host.locks.isLocked(name)))).toEqual([false, false, false]);
  });

  it('is lost as a whole when one of them is', async () => {
    await using driven = await DrivenHost.start(redis.connection);
    const started = deferred();
    const result = driven.locks.withLock([['a'], ['b']], { ttl: '9s' }, async (lock) => {
      started.resolve();
      await new Promise((resolve) => {
        lock.signal.addEventListener('abort', resolve);
      });
    });
    const rejected = failureOf(result);
    await started.promise;
    await redis.client().del('shop:lock:{b}');
    driven.clock.advance(3_000); // The next renewal finds out.
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

  it.each([
    ['is refused', () => Promise.reject(new Error('no permission')), 'no permission'],
    [
      'is taken without an answer',
      async (send: () => Promise<unknown>) => {
        await send();
        throw new RedisUnavailableError('lock.acquire: no answer', 'unknown');
      },
      'lock.acquire: no answer',
    ],
  ])('asks for none after one in the middle that %s, and leaves nothing taken', async (_, fail, message) => {
    const client = redis.client();
    await using driven = await DrivenHost.start(redis.connection);
    await takenOneByOne(client, 'a');
    const taken: number[] = [];
    driven.onCall('lock.acquire', async (send, nth) => {
      if (nth === 1) return send();
      if (nth === 2) taken.push(await client.exists('shop:lock:{a}'));
      driven.clock.advance(10_000); // Nobody asks again after that long.
      await fail(send);
      return send();
    });
    const failure = await failureOf(driven.locks.tryAcquire([['a'], ['b'], ['c']], { ttl: '60s' }));
    expect(failure.message).toBe(message);
    expect(taken).toEqual([1]);
    expect(driven.calls.get('lock.acquire')).toBe(2);
    await eventually(async () => {
      for (const name of ['a', 'b', 'c']) expect([name, await client.exists(`shop:lock:{${name}}`)]).toEqual([name, 0]);
    });
    expect(await client.exists('shop:lock:{c}:fence')).toBe(0);
  });
});

/**
 * Subjects whose locks share a slot, in sorted order. No subject can ask for a slot, since braces are escaped; on Cluster only chance brings some together.
 */
function subjectsOfOneSlot(count: number): string[] {
  const bySlot = new Map<number, string[]>();
  for (let i = 0; i <= 16_384 * (count - 1); i++) {
    const subject = `seat-${i}`;
    const slot = hashSlot(`{${subject}}`);
    const subjects = [...(bySlot.get(slot) ?? []), subject];
    if (subjects.length === count) return subjects.sort();
    bySlot.set(slot, subjects);
  }
  throw new Error('More subjects than slots, and no slot has enough.');
}

describeOn(
  standalone,
  sentinel,
  cluster,
)('several locks in one slot', (redis) => {
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
  const [first = '', middle = '', last = ''] = subjectsOfOneSlot(3);
  const all = [[last], [first], [middle]];
  const keyOf = (subject: string) => `shop:lock:{${subject}}`;
  const holders = () => redis.client().mget(keyOf(first), keyOf(middle), keyOf(last));

  it('are taken by one script, with a fencing token that none of them has seen', async () => {
    const ahead = Date.now() * 1_000 + 60_000_000;
    await redis.client().set(`${keyOf(middle)}:fence`, ahead, 'PX', 60_000);
    await using lock = await host.locks.acquire(all, { ttl: '10s' });
    expect([...host.calls]).toEqual([['lock.acquire-all', 1]]);
    expect(lock.fencingToken).toBe(ahead + 1);
    expect(await redis.client().mget(`${keyOf(first)}:fence`, `${keyOf(last)}:fence`)).toEqual(
      [lock.fencingToken, lock.fencingToken].map(String),
    );
    for (const key of lock.keys) {
      expect(await redis.client().pttl(key)).toBeGreaterThan(6_000);
      expect(await redis.client().pttl(`${key}:fence`)).toBeGreaterThan(80_000_000);
    }
    expect(lock.remainingMs).toBe(10_000 * 0.99 - 2);
  });

  it('are refused by one script, which changes nothing, when one is held', async () => {
    await using held = await other.locks.acquire(middle);
    expect(await host.locks.tryAcquire(all)).toBeNull();
    expect([...host.calls]).toEqual([['lock.acquire-all', 1]]);
    expect(await holders()).toEqual([null, expect.stringContaining(held.token), null]);
    const outcome = await host.locks.tryWithLock(all, {}, () => Promise.resolve());
    expect(outcome).toEqual({ ran: false, key: keyOf(middle) });
  });

  it('do not pass by those who wait for one of them', async () => {
    const held = await other.locks.acquire(middle);
    const waiting = other.locks.acquire(middle);
    await other.asleep('lock.acquire', 3, 2); // It listens and has looked since: before that it would be passed over.
    // Held by nobody for a moment, as after the end of a lease; the one in the queue has not looked yet.
    await redis.client().del(keyOf(middle));
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

  if (redis.topology === 'cluster') {
    it('are taken one by one as soon as one of another slot is among them', async () => {
      await using lock = await host.locks.acquire([...all, ['elsewhere']]);
      expect(lock.keys).toHaveLength(4);
      expect([...host.calls]).toEqual([['lock.acquire', 8]]); // Each is taken, then all are united.
    });
  }

  it('ask for nothing when the signal was aborted before', async () => {
    const reason = new Error('not any more');
    expect(await failureOf(host.locks.acquire(all, { signal: AbortSignal.abort(reason) }))).toBe(reason);
    expect(host.calls.size).toBe(0);
  });
});
