import { hostname } from 'node:os';
import { OptionsError, RedisUnavailableError } from '@redstart/redis-core';
import { cluster, describeOn, eventually, sentinel, standalone } from '@redstart/redis-testing';
import type { Lock } from '../src/index.js';
import { DrivenHost } from './driven-host.js';
import { deferred, failureOf, startHost, takenOneByOne } from './support.js';

const key = 'shop:lock:{order:42}';

/** The local clock stands still until a test moves it, and Redis' own goes on: a lease that is shorter than it was can only be the result of a command. */
describeOn(
  standalone,
  sentinel,
  cluster,
)('the times of holding a lock', (redis) => {
  let host: DrivenHost;
  beforeEach(async () => {
    host = await DrivenHost.start(redis.connection);
  });
  afterEach(() => host[Symbol.asyncDispose]());
  const leaseMs = () => redis.client().pttl(key);
  /** What is left of so many ms, since Redis' clock goes on while this process or Redis waits for a processor. */
  const isAbout = (left: number, ms: number) => {
    expect(left).toBeGreaterThan(ms - 4_000);
    expect(left).toBeLessThanOrEqual(ms);
  };

  describe('minHold', () => {
    it('keeps a lock that is released before taken for the rest of that time, and no longer', async () => {
      const lock = await host.locks.acquire('order:42', { ttl: '60s', minHold: '20s' });
      host.clock.advance(5_000);
      expect(await lock.release()).toBe(true);
      expect(lock.isHeld).toBe(false);
      isAbout(await leaseMs(), 15_000);
      expect(await host.locks.tryAcquire('order:42')).toBeNull();
      expect(host.clock.pending).toBe(0);
    });

    it('keeps it beyond its ttl, if that is shorter', async () => {
      const lock = await host.locks.acquire('order:42', { ttl: '5s', minHold: '20s' });
      await lock.release();
      isAbout(await leaseMs(), 20_000);
    });

    it('frees the lock at the release when it is over', async () => {
      const lock = await host.locks.acquire('order:42', { ttl: '60s', minHold: '20s' });
      host.clock.advance(20_000);
      expect(await lock.release()).toBe(true);
      expect(await redis.client().exists(key)).toBe(0);
    });

    it('begins with the acquisition, not with the question', async () => {
      host.onCall('lock.acquire', async (send) => {
        const answer = await send();
        host.clock.advance(3_000);
        return answer;
      });
      await (await host.locks.acquire('order:42', { ttl: '60s', minHold: '20s' })).release();
      isAbout(await leaseMs(), 20_000);
    });

    it('gives the lock to whoever waits when it is over', async () => {
      await using other = await startHost(redis.connection);
      const askedAt = performance.now();
      const lock = await other.locks.acquire('order:42', { minHold: 600 });
      expect(await lock.release()).toBe(true);
      await using next = await other.locks.acquire('order:42');
      expect(performance.now() - askedAt).toBeGreaterThan(590); // Redis counts whole ms, on a clock of its own.
      expect(next.fencingToken).toBeGreaterThan(lock.fencingToken);
    });

    it('holds for every one of several locks, whichever way they were taken', async () => {
      const pttl = (name: string) => redis.client().pttl(`shop:lock:{${name}}`);
      await (await host.locks.acquire([['c'], ['d']], { minHold: '20s' })).release();
      await takenOneByOne(redis.client(), 'a');
      await (await host.locks.acquire([['a'], ['b']], { minHold: '20s' })).release();
      for (const name of ['a', 'b', 'c', 'd']) isAbout(await pttl(name), 20_000);
    });

    it('leaves nothing taken when one of several locks is not to be had', async () => {
      await using _held = await host.locks.acquire('b');
      await takenOneByOne(redis.client(), 'a');
      expect(await host.locks.tryAcquire([['a'], ['b']], { minHold: '20s' })).toBeNull();
      expect(await redis.client().exists('shop:lock:{a}')).toBe(0);
    });

    it('holds for a lock whose work has failed', async () => {
      const work = () => Promise.reject(new Error('business'));
      await expect(host.locks.withLock('order:42', { minHold: '20s' }, work)).rejects.toThrow('business');
      isAbout(await leaseMs(), 20_000);
    });

    it('holds when the answer to the release is lost', async () => {
      const lock = await host.locks.acquire('order:42', { ttl: '60s', minHold: '20s' });
      host.onCall('lock.release', async (send, nth) => {
        const answer = await send();
        if (nth > 1) return answer;
        host.clock.advance(5_000);
        throw new RedisUnavailableError('lock.release: no answer', 'unknown');
      });
      expect(await lock.release()).toBe(true);
      expect(host.calls.get('lock.release')).toBe(2);
      isAbout(await leaseMs(), 15_000);
    });

    it('holds when the application ends with the lock in use', async () => {
      const lock = await host.locks.acquire('order:42', { ttl: '60s', minHold: '20s' });
      await host.locks.onModuleDestroy();
      await host.connection.close();
      expect(lock.signal.reason).toMatchObject({ code: 'LOCK_LOST', reason: 'shutdown' });
      isAbout(await leaseMs(), 20_000);
    });

    it('holds for a lock that was lost by its deadline but is still ours in Redis', async () => {
      const lock = await host.locks.acquire('order:42', { ttl: '10s', minHold: '60s' });
      host.clock.advance(10_000);
      expect(lock.isHeld).toBe(false);
      await eventually(async () => {
        isAbout(await leaseMs(), 50_000);
      });
    });

    it('touches nothing of whoever has the lock by then', async () => {
      const lock = await host.locks.acquire('order:42', { ttl: '60s', minHold: '20s' });
      await redis.client().set(key, `${'s'.repeat(22)}stranger:1:abcdefgh`, 'PX', 50_000);
      expect(await lock.release()).toBe(false);
      isAbout(await leaseMs(), 50_000);
    });

    it('does not stop an operator from freeing the lock', async () => {
      await (await host.locks.acquire('order:42', { minHold: '20s' })).release();
      expect(await host.locks.isLocked('order:42')).toBe(true);
      expect(await host.locks.forceRelease('order:42')).toBe(true);
      expect(await host.locks.isLocked('order:42')).toBe(false);
    });
  });

  describe('maxHold', () => {
    it('loses the lock at its moment, however often it was renewed, and frees it', async () => {
      const lock = await host.locks.acquire('order:42', { ttl: '3s', autoExtend: true, maxHold: '10s' });
      const { signal } = lock;
      for (let second = 1; second <= 9; second++) {
        host.clock.advance(1_000);
        await eventually(() => host.calls.get('lock.extend') === second);
        await eventually(() => lock.remainingMs > Math.min(2_900, 10_000 - second * 1_000 - 1));
      }
      host.clock.advance(999);
      expect([lock.isHeld, lock.remainingMs, signal.aborted]).toEqual([true, 1, false]);
      host.clock.advance(1);
      expect([lock.isHeld, lock.remainingMs, signal.aborted]).toEqual([false, 0, true]);
      expect(signal.reason).toMatchObject({ code: 'LOCK_LOST', reason: 'max-hold' });
      await eventually(async () => {
        expect(await redis.client().exists(key)).toBe(0);
      });
      expect(host.clock.pending).toBe(0);
    });

    it('is not put off by an extension', async () => {
      const lock = await host.locks.acquire('order:42', { ttl: '3s', maxHold: '10s' });
      await lock.extend('60s');
      expect(lock.remainingMs).toBe(10_000);
      host.clock.advance(10_000);
      expect(await failureOf(lock.extend())).toMatchObject({ reason: 'max-hold' });
    });

    it('makes withLock reject once the work has ended', async () => {
      const begun = deferred<Lock>();
      const ends = deferred();
      const failure = failureOf(
        host.locks.withLock('order:42', { maxHold: '10s' }, (held) => {
          begun.resolve(held);
          return ends.promise;
        }),
      );
      const lock = await begun.promise;
      host.clock.advance(5_000);
      await eventually(() => lock.remainingMs === 5_000);
      host.clock.advance(5_000);
      ends.resolve();
      expect(await failure).toMatchObject({ code: 'LOCK_LOST', reason: 'max-hold' });
    });

    it('is not blamed for a lease that had ended before', async () => {
      const lock = await host.locks.acquire('order:42', { ttl: '3s', maxHold: '10s' });
      // The event loop stands still past both: nothing has run when somebody looks.
      host.clock.now = () => 60_000;
      expect(lock.isHeld).toBe(false);
      expect(lock.signal.reason).toMatchObject({ reason: 'deadline' });
    });

    it('may be the same as minHold: the lock is kept until then, and not beyond', async () => {
      const lock = await host.locks.acquire('order:42', { ttl: '30s', minHold: '10s', maxHold: '10s' });
      host.clock.advance(9_999);
      expect(lock.isHeld).toBe(true);
      host.clock.advance(1);
      await eventually(async () => {
        expect(await redis.client().exists(key)).toBe(0);
      });
    });
  });

  it('choose the ttl that is not given: a killed holder keeps the lock for minHold, and not beyond maxHold', async () => {
    const ttlWith = async (options: object) => {
      await using _lock = await host.locks.acquire('order:42', options);
      const ttl = await redis.client().pttl(key);
      await host.locks.forceRelease('order:42'); // minHold would keep it.
      return ttl;
    };
    const autoExtend = true;
    isAbout(await ttlWith({}), 30_000);
    isAbout(await ttlWith({ minHold: '40s' }), 40_000);
    isAbout(await ttlWith({ maxHold: '20s', autoExtend }), 20_000);
    isAbout(await ttlWith({ minHold: '15s', maxHold: '20s', autoExtend }), 20_000);
    isAbout(await ttlWith({ minHold: '40s', maxHold: '50s', autoExtend }), 40_000);
    isAbout(await ttlWith({ minHold: '40s', maxHold: '50s', ttl: '5s' }), 5_000);
    // Not renewed, it would be lost before maxHold by the margin of its lease.
    isAbout(await ttlWith({ maxHold: '20s' }), 30_000);
  });

  it('are refused when they can not be kept', async () => {
    const refused = async (options: object) => {
      const error = await failureOf(host.locks.acquire('order:42', options));
      expect(error).toBeInstanceOf(OptionsError);
      return error.message;
    };
    expect(await refused({ minHold: -1 })).toContain('acquire(options).minHold');
    expect(await refused({ maxHold: 99 })).toContain('acquire(options).maxHold');
    expect(await refused({ minHold: '2s', maxHold: '1s' })).toContain('2000 ms is more than maxHold, 1000 ms');
  });
});

describeOn(standalone)('what is known of a holder', (redis) => {
  it.each(['nightly report', 'a|b:c 100%', '%7C', 'größer 🚀'])(
    'is its label, as it was written: %s',
    async (label) => {
      await using host = await startHost(redis.connection);
      await using _lock = await host.locks.acquire('order:42', { label });
      const state = await host.locks.inspect('order:42');
      expect(state?.holder).toEqual({ host: hostname(), pid: process.pid, label });
    },
  );

  it('is its label also in the error of whoever waited in vain, and after a hand-over', async () => {
    await using host = await startHost(redis.connection);
    const lock = await host.locks.acquire('order:42', { label: 'of the call' });
    const error = await failureOf(host.locks.acquire('order:42', { waitTimeout: 50 }));
    expect(error).toMatchObject({ code: 'LOCK_TIMEOUT', holder: { label: 'of the call' } });
    expect(error.message).toContain(`"of the call" on ${hostname()} (process ${process.pid})`);

    // Its time stands still, so it gets the lock by the message or not at all.
    await using waiter = await DrivenHost.start(redis.connection, { label: 'of the module' });
    const next = waiter.locks.acquire('order:42');
    await eventually(() => {
      expect(waiter.calls.get('lock.acquire')).toBe(2);
      expect(waiter.clock.pending).toBe(1);
    });
    await lock.release();
    await next;
    expect((await host.locks.inspect('order:42'))?.holder?.label).toBe('of the module');
  });

  it('is nothing when another program has written the key, and no label when it has none', async () => {
    await using host = await startHost(redis.connection);
    await redis.client().set(key, 'by hand');
    expect(await host.locks.inspect('order:42')).toMatchObject({ holder: undefined, remainingMs: Infinity });
    await redis.client().del(key);
    await using _lock = await host.locks.acquire('order:42');
    expect((await host.locks.inspect('order:42'))?.holder).toEqual({ host: hostname(), pid: process.pid });
  });

  it('is since when it holds the lock, on the clock of Redis; a renewal does not change that', async () => {
    await using host = await startHost(redis.connection);
    const serverMs = async () => {
      const [seconds, micros] = await redis.client().time();
      return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
    };
    const before = await serverMs();
    await using lock = await host.locks.acquire('order:42');
    const after = await serverMs();
    await lock.extend('60s');
    const { since } = (await host.locks.inspect('order:42')) ?? {};
    expect(since?.getTime()).toBeGreaterThanOrEqual(before);
    expect(since?.getTime()).toBeLessThanOrEqual(after);
  });

  it('is never since a time to come, even if the fencing token runs ahead of the clock', async () => {
    await using host = await startHost(redis.connection);
    await redis.client().set(`${key}:fence`, Date.now() * 1_000 + 3_600_000_000, 'PX', 60_000);
    await using _lock = await host.locks.acquire('order:42');
    const state = await host.locks.inspect('order:42');
    expect(state?.since.getTime()).toBeLessThanOrEqual(Date.now() + 1_000);
  });

  it('refuses a label that is too long, empty or no text', async () => {
    await using host = await startHost(redis.connection);
    for (const label of ['', 'x'.repeat(101), '\ud800']) {
      expect(await failureOf(host.locks.acquire('order:42', { label }))).toBeInstanceOf(OptionsError);
    }
    await using _lock = await host.locks.acquire('order:42', { label: 'x'.repeat(100) });
  });
});
