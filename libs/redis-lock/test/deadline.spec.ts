import { RedisUnavailableError } from '@redstart/redis-core';
import { cluster, describeOn, eventually, sentinel, standalone } from '@redstart/redis-testing';
import type { Lock } from '../src/index.js';
import { DrivenHost } from './driven-host.js';
import { deferred, failureOf, takenOneByOne } from './support.js';

/** A lease less the margin for clocks that differ: 1 % and 2 ms. */
const surely = (ttlMs: number) => ttlMs * 0.99 - 2;

describeOn(
  standalone,
  sentinel,
  cluster,
)('the deadline of a lock', (redis) => {
  let host: DrivenHost;
  beforeEach(async () => {
    host = await DrivenHost.start(redis.connection);
  });
  afterEach(() => host[Symbol.asyncDispose]());

  /** From now on the answers of an operation take this long. */
  const slowAnswers = (operation: string, ms: number) => {
    host.onCall(operation, async (send) => {
      const answer = await send();
      host.clock.advance(ms);
      return answer;
    });
  };
  /** Sends two extensions 100 ms apart, and lets the answer to the second one arrive first. */
  const extendTwice = async (lock: Lock, first: number, second: number) => {
    const answers = [deferred(), deferred()] as const;
    host.onCall('lock.extend', async (send, nth) => {
      const answer = await send();
      await answers[nth === 1 ? 0 : 1].promise;
      return answer;
    });
    const older = lock.extend(first);
    host.clock.advance(100);
    const newer = lock.extend(second);
    answers[1].resolve();
    await newer;
    const between = lock.remainingMs;
    answers[0].resolve();
    await older;
    expect(host.calls.get('lock.extend')).toBe(2);
    return { between, after: lock.remainingMs };
  };

  it('comes at its moment: held until then, and not a millisecond longer', async () => {
    const lock = await host.locks.acquire('order:42', { ttl: '10s' });
    const { signal } = lock;
    host.clock.advance(surely(10_000) - 1);
    expect([lock.isHeld, lock.remainingMs, signal.aborted]).toEqual([true, 1, false]);
    host.clock.advance(1);
    expect([lock.isHeld, lock.remainingMs, signal.aborted]).toEqual([false, 0, true]);
    expect(signal.reason).toMatchObject({ code: 'LOCK_LOST', reason: 'deadline' });
  });

  it('is counted from when the acquisition was sent, not answered', async () => {
    slowAnswers('lock.acquire', 400);
    const lock = await host.locks.acquire('order:42', { ttl: '10s' });
    expect(host.clock.now()).toBe(400);
    expect(lock.remainingMs).toBe(surely(10_000) - 400);
  });

  it('is counted from when the attempt was sent that was answered', async () => {
    host.onCall('lock.acquire', async (send, nth) => {
      const answer = await send();
      if (nth > 1) return answer;
      host.clock.advance(1_000);
      throw new RedisUnavailableError('lock.acquire: no answer', 'unknown');
    });
    const acquired = host.locks.acquire('order:42', { ttl: '20s' });
    await eventually(() => host.clock.pending > 0);
    // As if time had passed in Redis, too.
    await redis.client().pexpire('shop:lock:{order:42}', 5_000);
    host.clock.advance(500);
    expect((await acquired).remainingMs).toBe(surely(20_000));
    expect(await redis.client().pttl('shop:lock:{order:42}')).toBeGreaterThan(16_000);
  });

  it.each([
    ['one lock', 'lock.acquire', 'order:42'],
    ['several locks', 'lock.acquire-all', [['a'], ['b']]],
  ])(
    'is never over when a lock is given out: a late answer is asked for again, of %s',
    async (_, operation, subject) => {
      host.onCall(operation, async (send, nth) => {
        const answer = await send();
        if (nth === 1) host.clock.advance(9_000); // The event loop stood still.
        return answer;
      });
      const lock = await host.locks.acquire(subject, { ttl: '10s' });
      expect(lock.remainingMs).toBeGreaterThan(9_000);
      expect(await lock.release()).toBe(true);
    },
  );

  it('of a lock whose every answer comes late is an outage, and leaves nothing behind', async () => {
    slowAnswers('lock.acquire', 9_000);
    const failure = await failureOf(host.locks.tryAcquire('order:42', { ttl: '10s' }));
    expect(failure).toMatchObject({ code: 'REDIS_UNAVAILABLE', outcome: 'unknown' });
    expect(failure.message).toContain('Raise ttl');
    await eventually(async () => {
      expect(await redis.client().exists('shop:lock:{order:42}')).toBe(0);
    });
  });

  it('of several locks is counted from when the last of them were asked for', async () => {
    await takenOneByOne(redis.client(), 'a');
    host.onCall('lock.acquire', async (send, nth) => {
      const answer = await send();
      if (nth > 2) host.clock.advance(200);
      return answer;
    });
    const lock = await host.locks.acquire([['a'], ['b']], { ttl: '10s' });
    expect(host.calls.get('lock.acquire')).toBe(4);
    expect(lock.remainingMs).toBe(surely(10_000) - 400);
  });

  it('is counted from when a renewal was sent, not answered', async () => {
    const lock = await host.locks.acquire('order:42', { ttl: '9s', autoExtend: true });
    slowAnswers('lock.extend', 400);
    host.clock.advance(3_000);
    await eventually(() => host.clock.now() === 3_400);
    expect(host.calls.get('lock.extend')).toBe(1);
    await eventually(() => {
      expect(lock.remainingMs).toBe(surely(9_000) - 400);
    });
    host.clock.advance(lock.remainingMs - 1);
    expect(lock.isHeld).toBe(true);
  });

  it('is renewed every third of the ttl, also of one that was set later', async () => {
    const lock = await host.locks.acquire('order:42', { ttl: '9s', autoExtend: true });
    await lock.extend('30s');
    const extensions = () => host.calls.get('lock.extend');
    host.clock.advance(9_999);
    expect(extensions()).toBe(1);
    host.clock.advance(1);
    expect(extensions()).toBe(2);
    await eventually(() => {
      expect(lock.remainingMs).toBe(surely(30_000));
    });
    expect(await redis.client().pttl('shop:lock:{order:42}')).toBeGreaterThan(26_000);
  });

  it('is not renewed unless it was asked for', async () => {
    const lock = await host.locks.acquire('order:42', { ttl: '9s' });
    await lock.extend('30s');
    host.clock.advance(15_000);
    expect(host.calls.get('lock.extend')).toBe(1);
  });

  it('is not renewed by an answer that comes after it', async () => {
    const lock = await host.locks.acquire('order:42', { ttl: '9s' });
    slowAnswers('lock.extend', 9_000);
    expect(await failureOf(lock.extend())).toMatchObject({ code: 'LOCK_LOST', reason: 'deadline' });
    expect(lock.isHeld).toBe(false);
    expect(lock.remainingMs).toBe(0);
    expect(host.clock.pending).toBe(0);
    await eventually(async () => {
      expect(await redis.client().exists('shop:lock:{order:42}')).toBe(0);
    });
  });

  it('stands with the newer of two extensions, whichever is answered last', async () => {
    const lock = await host.locks.acquire('order:42', { ttl: '10s' });
    expect(await extendTwice(lock, 10_000, 10_000)).toEqual({ between: surely(10_000), after: surely(10_000) });
  });

  it('is not put off by a late answer to an older, longer extension', async () => {
    const lock = await host.locks.acquire('order:42', { ttl: '10s' });
    expect(await extendTwice(lock, 30_000, 20_000)).toEqual({ between: surely(20_000), after: surely(20_000) });
  });

  it('is brought forward by a late answer to an older, shorter extension, which may have been carried out last', async () => {
    const lock = await host.locks.acquire('order:42', { ttl: '10s' });
    expect(await extendTwice(lock, 5_000, 20_000)).toEqual({ between: surely(20_000), after: surely(5_000) });
  });

  it('is that of a shorter extension from the moment it is sent', async () => {
    const lock = await host.locks.acquire('order:42', { ttl: '30s' });
    const answered = deferred();
    host.onCall('lock.extend', async (send, nth) => {
      const answer = await send();
      if (nth === 1) await answered.promise;
      return answer;
    });
    const shorter = failureOf(lock.extend('5s'));
    expect(lock.remainingMs).toBe(surely(5_000));
    host.clock.advance(surely(5_000));
    expect(lock.isHeld).toBe(false);
    answered.resolve();
    expect(await shorter).toMatchObject({ code: 'LOCK_LOST', reason: 'deadline' });
  });

  it('stays that of a shorter extension whose answer was lost, until a later one is confirmed', async () => {
    const lock = await host.locks.acquire('order:42', { ttl: '30s' });
    const older = deferred();
    host.onCall('lock.extend', async (send, nth) => {
      const answer = await send();
      if (nth === 1) await older.promise;
      if (nth === 2) throw new RedisUnavailableError('lock.extend: no answer', 'unknown');
      return answer;
    });
    const first = lock.extend();
    host.clock.advance(100);
    expect(await failureOf(lock.extend('5s'))).toBeInstanceOf(RedisUnavailableError);
    expect(await redis.client().pttl('shop:lock:{order:42}')).toBeLessThanOrEqual(5_000);
    expect(lock.remainingMs).toBe(surely(5_000));
    older.resolve();
    await first;
    expect(lock.remainingMs).toBe(surely(5_000));
    await lock.extend();
    expect(lock.remainingMs).toBe(surely(30_000));
  });
});
