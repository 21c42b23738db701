import { RedisUnavailableError } from '@redstart/redis-core';
import { describeOn, eventually, standalone } from '@redstart/redis-testing';
import { WaitingRoom } from '../src/waiting/waiting-room.js';
import { DrivenHost } from './driven-host.js';
import { failureOf, startHost, takenOneByOne, watch, type Host } from './support.js';

const key = 'shop:lock:{order:42}';
const stranger = `${'d'.repeat(22)}dead-host:1:abcdefgh`;

/** Redis as it should not be: lacking memory or permission, with keys of a lock gone or given to somebody else. */
describeOn(standalone)('when Redis', (redis) => {
  let other: Host;
  let host: DrivenHost;
  beforeAll(async () => {
    other = await startHost(redis.connection, { claimTtl: '10s' });
  });
  afterAll(() => other.app.close());
  beforeEach(async () => {
    host = await DrivenHost.start(redis.connection, { claimTtl: '10s' });
  });
  afterEach(() => host[Symbol.asyncDispose]());
  const asleep = async (questions = 2) => {
    await eventually(() => {
      expect(host.calls.get('lock.acquire')).toBe(questions);
      expect(host.clock.pending).toBe(1);
    });
  };
  const settle = async () => {
    for (let turn = 0; turn < 5; turn++) await redis.client().ping();
  };

  it('has given the lock to somebody else, nothing of it is touched', async () => {
    const lock = await host.locks.acquire('order:42', { ttl: '60s' });
    await redis.client().set(key, stranger, 'PX', 5_000);
    expect(await failureOf(lock.extend('60s'))).toMatchObject({ code: 'LOCK_LOST', reason: 'taken' });
    expect(await lock.release()).toBe(false);
    await host.locks.beforeApplicationShutdown();
    expect(await redis.client().get(key)).toBe(stranger);
    expect(await redis.client().pttl(key)).toBeLessThanOrEqual(5_000);
  });

  it('takes a lock away by force, it goes to the first waiter', async () => {
    const held = await other.locks.acquire('order:42');
    const next = host.locks.acquire('order:42');
    await asleep();
    expect(await other.locks.forceRelease('order:42')).toBe(true);
    const lock = await next;
    expect(await redis.client().get(key)).toMatch(new RegExp(`^${lock.token}`));
    expect(lock.fencingToken).toBeGreaterThan(held.fencingToken);
    expect(host.calls.get('lock.acquire')).toBe(2);
    expect(await held.release()).toBe(false);
    expect(lock.isHeld).toBe(true);
  });

  it('remembers waiters that are gone, they are not counted', async () => {
    await using _held = await other.locks.acquire('order:42');
    await redis.client().zadd(`${key}:waiters`, 1, stranger);
    expect(await other.locks.inspect('order:42')).toMatchObject({ waiting: 0 });
  });

  it('has evicted the queue, a sign of life brings the place back', async () => {
    const held = await other.locks.acquire('order:42');
    const next = host.locks.acquire('order:42');
    await asleep();
    await redis.client().del(`${key}:queue`);
    host.clock.advance(20_000);
    await asleep(3);
    expect(await redis.client().llen(`${key}:queue`)).toBe(1);
    await held.release();
    await next;
    expect(host.calls.get('lock.acquire')).toBe(3);
  });

  it('is out of memory, locks can be extended, released, given up and handed over all the same', async () => {
    const memory = (limit: string) => redis.client().config('SET', 'maxmemory', limit);
    const held = await other.locks.acquire('order:42', { ttl: '10s' });
    const impatience = new AbortController();
    const impatient = failureOf(host.locks.acquire('order:42', { signal: impatience.signal }));
    await asleep();
    const patient = host.locks.acquire('order:42');
    await eventually(async () => {
      expect(await other.locks.inspect('order:42')).toMatchObject({ waiting: 2 });
    });
    const heard: (() => void)[] = [];
    host.hear = (deliver) => {
      heard.push(deliver);
    };
    await memory('1');
    try {
      expect(await failureOf(other.locks.tryAcquire('free'))).toBeInstanceOf(RedisUnavailableError);
      await held.extend('60s');
      expect(await redis.client().pttl(key)).toBeGreaterThan(50_000);
      // Handed to the first one, which gives it up before it hears of that, so it goes to the second one.
      expect(await held.release()).toBe(true);
      impatience.abort(new Error('enough'));
      expect((await impatient).message).toBe('enough');
      await eventually(() => heard.length === 2);
      for (const deliver of heard) deliver();
      const lock = await patient;
      expect(await redis.client().get(key)).toMatch(new RegExp(`^${lock.token}`));
      await eventually(async () => {
        expect(await redis.client().pttl(key)).toBeGreaterThan(20_000);
      });
      expect(await other.locks.forceRelease('order:42')).toBe(true);
      expect(await lock.release()).toBe(false);
    } finally {
      await memory('0');
    }
  });

  it('lets nobody publish or listen, the lock is freed, and waiters look by themselves until it does', async () => {
    const acl = (...rules: string[]) => redis.client().acl('SETUSER', 'default', ...rules);
    await acl('resetchannels');
    try {
      const held = await other.locks.acquire('order:42');
      const next = host.locks.acquire('order:42');
      const state = watch(next);
      await asleep(1);
      await settle();
      expect(await held.release()).toBe(true);
      expect(await redis.client().exists(key)).toBe(0);
      expect(await redis.client().llen(`${key}:queue`)).toBe(1);

      const again = await other.locks.acquire('order:42');
      await settle();
      expect(state.settled).toBe(false);
      await acl('allchannels');
      host.clock.advance(20_000); // Its next sign of life, after which it tries to listen again.
      await asleep(3);
      await again.release();
      await next;
      expect(host.calls.get('lock.acquire')).toBe(3);
    } finally {
      await acl('allchannels');
    }
  });

  it('answers no more, a lost lock is given back as soon as it does', async () => {
    const lock = await host.locks.acquire('order:42', { ttl: '10s' });
    let down = true;
    host.onCall('lock.give-up', (send) =>
      down ? Promise.reject(new RedisUnavailableError('lock.give-up: no answer', 'unknown')) : send(),
    );
    host.clock.advance(10_000);
    expect(lock.isHeld).toBe(false);
    await host.clock.advanceAsync(1_000);
    expect(host.calls.get('lock.give-up')).toBeGreaterThan(2);
    expect(await redis.client().exists(key)).toBe(1);
    down = false;
    await host.clock.advanceAsync(2_000);
    await eventually(async () => {
      expect(await redis.client().exists(key)).toBe(0);
    });
  });

  it('answers no more, a lost lock is left to its lease after the ttl', async () => {
    await host.locks.acquire('order:42', { ttl: '10s' });
    host.onCall('lock.give-up', () => Promise.reject(new RedisUnavailableError('lock.give-up: no answer', 'unknown')));
    host.clock.advance(10_000);
    await host.clock.advanceAsync(30_000);
    const tries = host.calls.get('lock.give-up');
    await host.clock.advanceAsync(30_000);
    expect(host.calls.get('lock.give-up')).toBe(tries);
    expect(host.clock.pending).toBe(0);
  });

  it.each([
    ['nobody waits', async () => Promise.resolve()],
    ['a dead one stands in the queue', () => takenOneByOne(redis.client(), 'order:42')],
  ])('has a counter of another type, the lock is refused and stays free, when %s', async (_, prepare) => {
    await prepare();
    await redis.client().rpush('shop:lock:{order:42}:fence', 'a list');
    expect(await failureOf(host.locks.tryAcquire('order:42'))).toMatchObject({ reason: 'WRONGTYPE' });
    expect(await redis.client().exists('shop:lock:{order:42}')).toBe(0);
  });

  it.each([
    ['rwlock:{order:42}', '', () => host.locks.readWrite('order:42').tryWrite()],
    ['rwlock:{order:42}', ':readers', () => host.locks.readWrite('order:42').tryRead()],
    ['semaphore:{order:42}', '', () => host.locks.semaphore('order:42', { permits: 2 }).tryAcquire()],
  ])('has a counter of another type for %s%s, that stays free as well', async (main, holders, take) => {
    await redis.client().rpush(`shop:${main}:fence`, 'a list');
    expect(await failureOf(take())).toMatchObject({ reason: 'WRONGTYPE' });
    expect(await redis.client().exists(`shop:${main}${holders}`)).toBe(0);
  });

  describe('has a channel for each lock, as a Cluster does, it', () => {
    const channel = 'shop:lock:{order:42}:wake:here';
    const listeners = async () => (await redis.client().pubsub('NUMSUB', channel))[1];
    let room: WaitingRoom;
    beforeEach(() => {
      room = new WaitingRoom(host.connection.subscriber, host.clock, 30_000);
    });
    const comes = async (owner: string) => {
      const waiter = room.enter({ owner, key, channel });
      room.listen(waiter);
      await eventually(async () => (await listeners()) === 1);
      return waiter;
    };

    it('is listened to for some time after its last waiter', async () => {
      room.leave(await comes('a'));
      host.clock.advance(29_999);
      await settle();
      expect(await listeners()).toBe(1);
      host.clock.advance(1);
      await eventually(async () => (await listeners()) === 0);
      await comes('b');
    });

    it('is listened to as long as anybody waits', async () => {
      const [a, b] = [await comes('a'), await comes('b')];
      room.leave(a);
      host.clock.advance(60_000);
      await settle();
      expect(await listeners()).toBe(1);
      room.leave(b);
      host.clock.advance(29_000);
      const c = await comes('c');
      host.clock.advance(60_000);
      await settle();
      expect(await listeners()).toBe(1);
      room.leave(c);
      expect(host.clock.pending).toBe(1);
    });
  });
});
