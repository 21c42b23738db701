import { hashSlot, RedisUnavailableError } from '@redstart/redis-core';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import type { Lock } from '../src/index.js';
import { DrivenHost } from './driven-host.js';
import { failureOf, watch } from './support.js';

const holderOf = (key: string) => `shop:lock:{${key}}`;

describeOn(standalone, cluster)('the locks of one tick', (redis) => {
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
  /** Of one slot, so that a Cluster can take them together, too. */
  const keys = keysOfOneSlot(4);
  const acquireAll = () => Promise.all(keys.map((key) => host.locks.acquire(key, { ttl: '10s' })));
  const called = (...operations: string[]) => operations.map((operation) => host.calls.get(operation) ?? 0);

  it('are taken by one script and freed by another, each with a token of its own', async () => {
    const locks = await acquireAll();
    expect(called('lock.take', 'lock.acquire')).toEqual([1, 0]);
    for (const lock of locks) {
      const [key = ''] = lock.keys;
      expect(await redis.client().get(key)).toMatch(new RegExp(`^${lock.token}`));
      expect(await redis.client().pttl(key)).toBeGreaterThan(9_000);
      expect(await redis.client().get(`${key}:fence`)).toBe(`${lock.fencingToken}`);
      expect(await redis.client().pttl(`${key}:fence`)).toBeGreaterThan(80_000_000);
    }
    expect(new Set(locks.map(({ token }) => token)).size).toBe(locks.length);
    expect(await Promise.all(locks.map((lock) => lock.release()))).toEqual(keys.map(() => true));
    expect(called('lock.free', 'lock.release')).toEqual([1, 0]);
    for (const key of keys) expect(await redis.client().exists(holderOf(key))).toBe(0);
  });

  it('have fencing tokens that rise, also when the counter is ahead of the clock', async () => {
    const [first = ''] = keys;
    const ahead = Date.now() * 1_000 + 60_000_000;
    await redis.client().set(`${holderOf(first)}:fence`, ahead, 'PX', 60_000);
    const [lock] = await acquireAll();
    expect(lock?.fencingToken).toBe(ahead + 1);
    expect(await redis.client().get(`${holderOf(first)}:fence`)).toBe(`${ahead + 1}`);
  });

  it('do not wait for the one among them that is held', async () => {
    const [first = '', ...others] = keys;
    const held = await other.locks.acquire(first);
    const waiting = host.locks.acquire(first);
    const state = watch(waiting);
    await using _free = disposeAll(await Promise.all(others.map((key) => host.locks.acquire(key))));
    expect(called('lock.take')).toEqual([1]);
    await eventually(async () => {
      expect((await other.locks.inspect(first))?.waiting).toBe(1);
    });
    expect(state.settled).toBe(false);
    await held.release();
    await (await waiting).release();
  });

  it('come in the order in which they were asked for, where they are one and the same', async () => {
    const [key = ''] = keys;
    const order: number[] = [];
    await Promise.all(
      [1, 2, 3, 4].map((place) =>
        host.locks.withLock(key, {}, async () => {
          order.push(place);
          await redis.client().ping();
        }),
      ),
    );
    expect(order).toEqual([1, 2, 3, 4]);
  });

  it('do not pass by those who wait', async () => {
    const [first = '', second = ''] = keys;
    const held = await other.locks.acquire(first);
    const waiting = other.locks.acquire(first);
    await eventually(async () => {
      expect((await host.locks.inspect(first))?.waiting).toBe(1);
    });
    await redis.client().del(holderOf(first)); // As when its lease has ended, and nobody has looked since.
    const [taken, free] = await Promise.all([host.locks.tryAcquire(first), host.locks.tryAcquire(second)]);
    expect(taken).toBeNull();
    expect(free?.isHeld).toBe(true);
    await (await waiting).release();
    await held.release();
    await free?.release();
  });

  it('are handed over, where somebody waits, and only freed where nobody does', async () => {
    const locks = await acquireAll();
    const [first = ''] = keys;
    const waiting = other.locks.acquire(first);
    await eventually(async () => {
      expect((await host.locks.inspect(first))?.waiting).toBe(1);
      expect(other.clock.pending).toBeGreaterThan(0);
    });
    expect(await Promise.all(locks.map((lock) => lock.release()))).toEqual(keys.map(() => true));
    expect(called('lock.free', 'lock.release')).toEqual([1, 1]);
    await using next = await waiting;
    expect(next.isHeld).toBe(true);
    for (const key of keys.slice(1)) expect(await redis.client().exists(holderOf(key))).toBe(0);
  });

  it('are not freed where they have become somebody else’s', async () => {
    const locks = await acquireAll();
    const [first = '', second = ''] = keys;
    await redis.client().set(holderOf(first), 'another', 'PX', 60_000);
    await redis.client().del(holderOf(second));
    expect(await Promise.all(locks.map((lock) => lock.release()))).toEqual([false, false, true, true]);
    expect(await redis.client().get(holderOf(first))).toBe('another');
  });

  it('fail one by one: a key of another type is an error of its own lock', async () => {
    const [first = '', second = ''] = keys;
    await redis.client().rpush(holderOf(first), 'a list');
    await redis.client().rpush(`${holderOf(second)}:fence`, 'a list');
    const outcomes = await Promise.allSettled(keys.map((key) => host.locks.tryAcquire(key)));
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled', 'fulfilled']);
    for (const outcome of outcomes.slice(0, 2)) {
      expect(outcome).toMatchObject({ reason: { code: 'REDIS_COMMAND', reason: 'WRONGTYPE' } });
    }
  });

  it('are recognised when the answer gets lost', async () => {
    host.onCall('lock.take', async (send) => {
      await send();
      throw new RedisUnavailableError('lock.take: no answer', 'unknown');
    });
    const acquiring = acquireAll();
    await eventually(() => host.clock.pending > 0);
    await host.clock.advanceAsync(1_000);
    const locks = await acquiring;
    for (const lock of locks)
      expect(await redis.client().get(lock.keys[0] ?? '')).toMatch(new RegExp(`^${lock.token}`));
    host.onCall('lock.free', async (send, nth) => {
      const answer = await send();
      if (nth > 1) return answer;
      throw new RedisUnavailableError('lock.free: no answer', 'unknown');
    });
    expect(await Promise.all(locks.map((lock) => lock.release()))).toEqual(keys.map(() => true));
    for (const key of keys) expect(await redis.client().exists(holderOf(key))).toBe(0);
  });

  it('leave nothing behind when their callers have given up', async () => {
    const controller = new AbortController();
    const failures = keys.map((key) => failureOf(host.locks.acquire(key, { signal: controller.signal })));
    controller.abort(new Error('changed my mind'));
    // Redis may have granted them by then: whoever gave up then gives back.
    const outcomes = await Promise.allSettled(failures);
    for (const outcome of outcomes) {
      if (outcome.status === 'fulfilled') expect(outcome.value.message).toBe('changed my mind');
    }
    const held = outcomes.filter(({ status }) => status === 'rejected').length;
    await eventually(async () => {
      const exist = await Promise.all(keys.map((key) => redis.client().exists(holderOf(key))));
      expect(exist.filter((exists) => exists === 1)).toHaveLength(held);
    });
  });
});

function disposeAll(locks: readonly Lock[]): AsyncDisposable {
  return {
    [Symbol.asyncDispose]: async () => {
      await Promise.all(locks.map((lock) => lock.release()));
    },
  };
}

function keysOfOneSlot(count: number): string[] {
  const found: string[] = ['job:0'];
  for (let at = 1; found.length < count; at++) {
    if (hashSlot(holderOf(`job:${at}`)) === hashSlot(holderOf('job:0'))) found.push(`job:${at}`);
  }
  return found;
}
