import { hashSlot, RedisUnavailableError } from '@redstart/redis-core';
import { cluster, describeOn, eventually, RedisServer, standalone } from '@redstart/redis-testing';
import type { Lock } from '../src/index.js';
import { DrivenHost } from './driven-host.js';
import { deferred, failureOf, watch } from './support.js';

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
  const [unrelated = '', ...keys] = keysOfOneSlot(5);
  const [first = '', second = ''] = keys;
  const acquireEach = () => Promise.all(keys.map((key) => host.locks.acquire(key, { ttl: '60s' })));
  const releaseEach = (locks: readonly Lock[]) => Promise.all(locks.map((lock) => lock.release()));
  const exist = () => Promise.all(keys.map((key) => redis.client().exists(holderOf(key))));
  const queued = (key: string, count: number) =>
    eventually(async () => {
      expect(await redis.client().llen(`${holderOf(key)}:queue`)).toBe(count);
    });

  it('are each taken with a token of their own, and freed', async () => {
    const locks = await acquireEach();
    for (const lock of locks) {
      const [key = ''] = lock.keys;
      expect(await redis.client().get(key)).toMatch(new RegExp(`^${lock.token}`));
      expect(await redis.client().pttl(key)).toBeGreaterThan(30_000);
      expect(await redis.client().get(`${key}:fence`)).toBe(`${lock.fencingToken}`);
      expect(await redis.client().pttl(`${key}:fence`)).toBeGreaterThan(80_000_000);
    }
    expect(new Set(locks.map(({ token }) => token)).size).toBe(locks.length);
    expect(await releaseEach(locks)).toEqual(keys.map(() => true));
    expect(await exist()).toEqual(keys.map(() => 0));
  });

  it('have fencing tokens that rise, also when the counter of one is ahead of the clock', async () => {
    const ahead = Date.now() * 1_000 + 60_000_000;
    await redis.client().set(`${holderOf(second)}:fence`, ahead, 'PX', 60_000);
    const locks = await acquireEach();
    expect(locks[1]?.fencingToken).toBe(ahead + 1);
    expect(await redis.client().get(`${holderOf(second)}:fence`)).toBe(`${ahead + 1}`);
    expect(locks[2]?.fencingToken).toBeLessThan(ahead);
    await releaseEach(locks);
  });

  it('get their places in the queue by the same script, so that nobody who comes later overtakes them', async () => {
    const held = await other.locks.acquire(first);
    const answers = deferred();
    host.onCall('lock.acquire', async (send) => {
      const answer = await send();
      await answers.promise;
      return answer;
    });
    const batch = [host.locks.acquire(second), host.locks.acquire(first, { label: 'in-the-batch' })];
    const inTurn = async () => {
      await queued(first, 1);
      const single = other.locks.acquire(first, { label: 'after-it' });
      await queued(first, 2);
      const owners = await redis.client().lrange(`${holderOf(first)}:queue`, 0, -1);
      expect(owners.map((owner) => owner.split('|')[1])).toEqual(['in-the-batch', 'after-it']);
      return [single];
    };
    const single = await inTurn().finally(answers.resolve);
    await held.release();
    await Promise.all([...batch, ...single].map(async (lock) => (await lock).release()));
  });

  it('come in the order in which they were asked for, whatever their ttl and their patience', async () => {
    const order: number[] = [];
    const ttls = ['10s', '20s', '10s', '30s', '20s'] as const;
    const working = ttls.map((ttl, place) =>
      host.locks.withLock(first, { ttl }, async () => {
        order.push(place);
        await redis.client().ping();
      }),
    );
    const hasty = host.locks.tryAcquire(first, { ttl: '20s' });
    await Promise.all(working);
    expect(order).toEqual([0, 1, 2, 3, 4]);
    expect(await hasty).toBeNull();
    const [taken, late] = await Promise.all([host.locks.tryAcquire(first), host.locks.acquire(second)]);
    expect(taken?.isHeld).toBe(true);
    await Promise.all([taken?.release(), late.release()]);
  });

  it('last as long as each of them is to', async () => {
    const ttls = [60_000, 120_000, 120_000, 240_000];
    const locks = await Promise.all(keys.map((key, index) => host.locks.acquire(key, { ttl: ttls[index] ?? 0 })));
    const leases = await Promise.all(keys.map((key) => redis.client().pttl(holderOf(key))));
    leases.forEach((lease, index) => {
      expect(lease).toBeLessThanOrEqual(ttls[index] ?? 0);
      expect(lease).toBeGreaterThan((ttls[index] ?? 0) - 50_000);
    });
    await releaseEach(locks);
  });

  it('are not overtaken by several locks at once, and do not overtake them', async () => {
    const both = [first.split(':'), second.split(':')];
    const single = host.locks.acquire(first);
    const several = host.locks.acquire(both);
    const state = watch(several);
    const lock = await single;
    await queued(first, 1);
    expect(state.settled).toBe(false);
    await lock.release();
    const locks = await several;
    expect(locks.keys).toHaveLength(2);
    await locks.release();

    const before = host.locks.acquire(both);
    const after = host.locks.acquire(second);
    const afterState = watch(after);
    const held = await before;
    await queued(second, 1);
    expect(afterState.settled).toBe(false);
    await held.release();
    await (await after).release();
  });

  it('are not sent any more when their signal has aborted by the end of the tick', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const wanted = host.locks.acquire(first);
    const failing = failureOf(host.locks.acquire(second, { signal }));
    controller.abort(new Error('changed my mind'));
    expect((await failing).message).toBe('changed my mind');
    await using lock = await wanted;
    expect(lock.isHeld).toBe(true);
    expect(host.calls.get('lock.acquire')).toBe(1);
    expect(host.calls.has('lock.give-up')).toBe(false);
    expect(await redis.client().exists(`${holderOf(second)}:fence`)).toBe(0);
  });

  it('do not pass by those who wait, who get the fencing token of that lock', async () => {
    const held = await other.locks.acquire(first);
    const waiting = other.locks.acquire(first);
    await other.asleep('lock.acquire', 3, 2); // It listens and has looked since: before that it would be passed over.
    const ahead = Date.now() * 1_000 + 60_000_000;
    await redis.client().set(`${holderOf(first)}:fence`, ahead, 'PX', 60_000);
    await redis.client().del(holderOf(first)); // As when its lease has ended, and nobody has looked since.
    const [free, taken] = await Promise.all([host.locks.tryAcquire(second), host.locks.tryAcquire(first)]);
    expect(free?.isHeld).toBe(true);
    expect(taken).toBeNull();
    const next = await waiting;
    expect(next.fencingToken).toBeGreaterThan(ahead);
    await next.release();
    await held.release();
    await free?.release();
  });

  it('are handed over, where somebody waits, with the fencing token of that lock', async () => {
    const locks = await acquireEach();
    const ahead = Date.now() * 1_000 + 60_000_000;
    await redis.client().set(`${holderOf(second)}:fence`, ahead, 'PX', 60_000);
    const waiting = other.locks.acquire(second);
    await other.asleep('lock.acquire', 2);
    expect(await releaseEach(locks)).toEqual(keys.map(() => true));
    await using next = await waiting;
    expect(next.fencingToken).toBeGreaterThan(ahead);
    expect(await exist()).toEqual([0, 1, 0, 0]);
  });

  it('are not freed where they have become somebody else’s', async () => {
    const locks = await acquireEach();
    await redis.client().set(holderOf(first), 'another', 'PX', 60_000);
    await redis.client().del(holderOf(second));
    expect(await releaseEach(locks)).toEqual([false, false, true, true]);
    expect(await redis.client().get(holderOf(first))).toBe('another');
  });

  it('can be taken again in the tick in which they are let go of', async () => {
    const locks = await acquireEach();
    const asked = host.locks.acquire(unrelated);
    const released = releaseEach(locks);
    const again = await Promise.all(keys.map((key) => host.locks.acquire(key, { waitTimeout: 0 })));
    expect(await released).toEqual(keys.map(() => true));
    expect(again.map((lock) => lock.isHeld)).toEqual(keys.map(() => true));
    await releaseEach([...again, await asked]);
  });

  it('fail one by one: a key of another type is an error of its own lock', async () => {
    await redis.client().rpush(holderOf(first), 'a list');
    await redis.client().rpush(`${holderOf(second)}:fence`, 'a list');
    const outcomes = await Promise.allSettled(keys.map((key) => host.locks.tryAcquire(key)));
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled', 'fulfilled']);
    for (const outcome of outcomes.slice(0, 2)) {
      expect(outcome).toMatchObject({ reason: { code: 'REDIS_COMMAND', reason: 'WRONGTYPE' } });
    }
    const locks = outcomes.flatMap((outcome) =>
      outcome.status === 'fulfilled' && outcome.value !== null ? [outcome.value] : [],
    );
    const damaged = locks.at(-1)?.keys[0] ?? '';
    await redis.client().del(damaged);
    await redis.client().rpush(damaged, 'a list');
    // What one script has freed before it comes to the damaged one stays told as freed.
    const releases = await Promise.allSettled(locks.map((lock) => lock.release()));
    expect(releases).toMatchObject([{ value: true }, { reason: { reason: 'WRONGTYPE' } }]);
  });

  it('are recognised when the answer to all of them gets lost', async () => {
    host.onCall('lock.acquire', async (send, nth) => {
      const answer = await send();
      if (nth > 1) return answer;
      throw new RedisUnavailableError('lock.acquire: no answer', 'unknown');
    });
    const acquiring = acquireEach();
    await eventually(() => host.clock.pending > 0);
    await host.clock.advanceAsync(1_000);
    const locks = await acquiring;
    for (const {
      token,
      keys: [key = ''],
    } of locks) {
      expect(await redis.client().get(key)).toMatch(new RegExp(`^${token}`));
    }
    host.onCall('lock.release', async (send, nth) => {
      const answer = await send();
      if (nth > 1) return answer;
      throw new RedisUnavailableError('lock.release: no answer', 'unknown');
    });
    expect(await releaseEach(locks)).toEqual(keys.map(() => true));
    expect(await exist()).toEqual(keys.map(() => 0));
  });
});

describeOn(standalone)('the locks of one tick, of any slot,', (redis) => {
  const names = (count: number) => Array.from({ length: count }, (_, index) => `job:${index}`);

  it('are taken by one script and freed by another', async () => {
    await using host = await DrivenHost.start(redis.connection);
    const locks = await Promise.all(names(16).map((name) => host.locks.acquire(name)));
    expect(host.calls.get('lock.acquire')).toBe(1);
    await Promise.all(locks.map((lock) => lock.release()));
    expect(host.calls.get('lock.release')).toBe(1);
  });

  it('are taken and freed in halves where they are many, by scripts of 32 locks at most', async () => {
    await using host = await DrivenHost.start(redis.connection);
    const taking = names(80).map((name) => host.locks.acquire(name));
    await Promise.resolve();
    await new Promise(process.nextTick); // The end of the tick, whose first half is on its way now.
    expect(host.calls.get('lock.acquire')).toBe(2);
    const locks = await Promise.all(taking);
    expect(host.calls.get('lock.acquire')).toBe(4);
    expect(new Set(locks.map(({ token }) => token)).size).toBe(80);
    expect(new Set(await Promise.all(locks.map((lock) => lock.release())))).toEqual(new Set([true]));
    expect(host.calls.get('lock.release')).toBeGreaterThanOrEqual(4);
  });

  it('keep their order across the halves: who asked first is served first', async () => {
    await using host = await DrivenHost.start(redis.connection);
    const order: number[] = [];
    const name = 'halves';
    // Twenty questions, so that some of those who want the one lock are in each half.
    const working = names(20).map((other, place) =>
      host.locks.withLock(place % 2 === 0 ? name : other, {}, () => {
        if (place % 2 === 0) order.push(place);
        return Promise.resolve();
      }),
    );
    await Promise.all(working);
    expect(order).toEqual(names(10).map((_, index) => 2 * index));
  });

  it('fail one by one: a permission that is missing for one of them keeps no other from being taken and freed', async () => {
    await using server = await RedisServer.start();
    const permit = (...patterns: string[]) =>
      server.client().call('ACL', 'SETUSER', 'worker', 'on', '>secret', 'resetkeys', '&*', '+@all', ...patterns);
    await permit('~shop:lock:*');
    const url = Object.assign(new URL(server.url), { username: 'worker', password: 'secret' });
    await using host = await DrivenHost.start({ url: url.href });
    const locks = await Promise.all(names(2).map((name) => host.locks.acquire(name)));
    await permit('~shop:lock:{job:0}*', '~shop:lock:{job:2}*');
    const releases = await Promise.allSettled(locks.map((lock) => lock.release()));
    expect(releases).toMatchObject([{ value: true }, { reason: { code: 'REDIS_COMMAND', reason: 'NOPERM' } }]);
    const acquires = await Promise.allSettled(names(3).map((name) => host.locks.acquire(name)));
    expect(acquires.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(acquires[1]).toMatchObject({ reason: { code: 'REDIS_COMMAND', reason: 'NOPERM' } });
  });
});

/** So that a Cluster can have more than one of them in a script, too. */
function keysOfOneSlot(count: number): string[] {
  const found: string[] = ['job:0'];
  for (let at = 1; found.length < count; at++) {
    if (hashSlot(holderOf(`job:${at}`)) === hashSlot(holderOf('job:0'))) found.push(`job:${at}`);
  }
  return found;
}
