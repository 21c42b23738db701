import { Logger } from '@nestjs/common';
import { RedisUnavailableError } from '@redstart/redis-core';
import { describeOn, eventually, standalone } from '@redstart/redis-testing';
import type { Leadership, LeaderOptions } from '../src/index.js';
import { DrivenHost } from './driven-host.js';
import { deferred, startHost, watch, type Host } from './support.js';

const key = 'shop:lock:{scheduler}';
/** A lease less the margin for clocks that differ. */
const surely = (ttlMs: number) => ttlMs * 0.99 - 2;

/** Its time stands still until the test moves it, so what it does by itself it does at exactly that moment. */
describeOn(standalone)('a term of a leader', (redis) => {
  let other: Host;
  let host: DrivenHost;
  let events: string[];
  let logged: string[];
  const rejections: unknown[] = [];
  const onRejection = (reason: unknown) => rejections.push(reason);
  beforeAll(async () => {
    process.on('unhandledRejection', onRejection);
    other = await startHost(redis.connection);
  });
  afterAll(async () => {
    await other.app.close();
    process.off('unhandledRejection', onRejection);
    Logger.overrideLogger(['log', 'warn', 'error']);
    expect(rejections).toEqual([]);
  });
  beforeEach(async () => {
    events = [];
    logged = [];
    host = await DrivenHost.start(redis.connection, { ttl: '9s' });
    const log = (message: unknown) => logged.push(String(message));
    Logger.overrideLogger({ log: () => undefined, warn: log, error: log });
  });
  afterEach(() => host[Symbol.asyncDispose]());

  const stand = ({ onElected, onRevoked }: Partial<LeaderOptions> = {}) =>
    host.locks.leader('scheduler', {
      onElected: (lock) => {
        events.push('elected');
        return onElected?.(lock);
      },
      onRevoked: (reason) => {
        events.push(`revoked: ${reason}`);
        return onRevoked?.(reason);
      },
    });
  const tells = async (...expected: string[]) => {
    await eventually(() => {
      expect(events).toEqual(expected);
    });
  };
  const isFree = async () => (await redis.client().exists(key)) === 0;
  const outage = () => Promise.reject(new RedisUnavailableError('no answer', 'unknown'));
  /** Takes the lock away behind the leader's back, and lets it find out. */
  const depose = async () => {
    const times = () => events.filter((event) => event === 'revoked: taken').length;
    const before = times();
    await redis.client().del(key);
    host.clock.advance(3_000);
    await eventually(() => times() > before);
  };
  /** A third of the ttl passes, and the lock is renewed. */
  const renewed = async (leadership: Leadership) => {
    host.clock.advance(3_000);
    await eventually(() => {
      expect(leadership.lock?.remainingMs).toBe(surely(9_000));
    });
  };
  const stopsWithoutTrace = async (leadership: Leadership) => {
    await leadership.stop();
    expect(leadership.isLeader).toBe(false);
    await eventually(() => host.clock.pending === 0);
    await eventually(isFree);
    expect(await redis.client().exists(`${key}:queue`, `${key}:waiters`)).toBe(0);
  };

  it('leaves nothing behind when it is stopped while leading', async () => {
    const leadership = stand();
    await tells('elected');
    expect(host.clock.pending).toBeGreaterThan(0);
    await stopsWithoutTrace(leadership);
    expect(events).toEqual(['elected', 'revoked: stopped']);
  });

  it('never begins for a candidate that is stopped in the queue', async () => {
    await using _held = await other.locks.acquire('scheduler');
    const leadership = stand();
    await eventually(async () => {
      expect((await other.locks.inspect('scheduler'))?.waiting).toBe(1);
      expect(host.clock.pending).toBe(1);
    });
    await leadership.stop();
    await eventually(async () => {
      expect((await other.locks.inspect('scheduler'))?.waiting).toBe(0);
    });
    expect(host.clock.pending).toBe(0);
    expect(events).toEqual([]);
  });

  it('never begins for a candidate that is stopped while its question is under way', async () => {
    const answered = deferred();
    host.onCall('lock.acquire', async (send) => {
      const answer = await send();
      await answered.promise;
      return answer;
    });
    const leadership = stand();
    await eventually(async () => !(await isFree()));
    const stopped = leadership.stop();
    answered.resolve();
    await stopped;
    expect(await isFree()).toBe(true);
    expect(events).toEqual([]);
    expect(host.clock.pending).toBe(0);
  });

  it('waits for a lock that is held without a limit', async () => {
    const held = await other.locks.acquire('scheduler', { ttl: '1h' });
    await using _leadership = stand();
    const place = () => redis.client().lrange(`${key}:queue`, 0, -1);
    await eventually(() => host.clock.pending === 1);
    const [owner] = await place();
    for (let minute = 1; minute <= 20; minute++) {
      const asked = host.calls.get('lock.acquire') ?? 0;
      await eventually(() => host.clock.pending === 1);
      host.clock.advance(60_000);
      await eventually(() => (host.calls.get('lock.acquire') ?? 0) > asked);
    }
    expect(await place()).toEqual([owner]); // The place it took at first.
    expect(events).toEqual([]);
    await held.release();
    await tells('elected');
  });

  it('is renewed, and ends exactly at its deadline when Redis does not answer any more', async () => {
    await using leadership = stand();
    await tells('elected');
    await renewed(leadership);
    host.onCall('lock.extend', outage);
    host.onCall('lock.acquire', outage);
    host.onCall('lock.give-up', outage);
    host.clock.advance(surely(9_000) - 1);
    expect([leadership.isLeader, events]).toEqual([true, ['elected']]);
    host.clock.advance(1);
    expect([leadership.isLeader, events]).toEqual([false, ['elected', 'revoked: deadline']]);
    host.onCall('lock.extend', (send) => send());
    host.onCall('lock.acquire', (send) => send());
    host.onCall('lock.give-up', (send) => send());
    await eventually(async () => {
      await host.clock.advanceAsync(500);
      expect(events).toEqual(['elected', 'revoked: deadline', 'elected']);
    });
    await stopsWithoutTrace(leadership);
  });

  it('has ended for whoever looks after the event loop stood still, before any timer could tell', async () => {
    await using leadership = stand();
    await tells('elected');
    const { lock } = leadership;
    host.clock.now = () => 20_000;
    expect(leadership.isLeader).toBe(false);
    expect(lock?.signal.reason).toMatchObject({ code: 'LOCK_LOST', reason: 'deadline' });
    expect(events).toEqual(['elected', 'revoked: deadline']);
    expect(() => lock?.assertHeld()).toThrow(/lease was not renewed/);
  });

  it('does not end with the work of the leader', async () => {
    await using leadership = stand({ onElected: () => Promise.resolve('done') });
    await tells('elected');
    for (let third = 0; third < 5; third++) await renewed(leadership);
    expect(events).toEqual(['elected']);
  });

  it.each([
    [
      'throws',
      () => {
        throw new Error('can not lead');
      },
    ],
    ['rejects', () => Promise.reject(new Error('can not lead'))],
  ])('is given up when onElected %s; the candidate stands again after a pause that grows', async (_how, onElected) => {
    const leadership = stand({ onElected });
    const terms: string[] = [];
    for (const pauseMs of [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
      terms.push('elected', 'revoked: failed');
      await tells(...terms);
      await eventually(() => host.clock.pending === 1); // The lock is released, and only the pause is left.
      expect(await isFree()).toBe(true);
      host.clock.advance(pauseMs - 1);
      expect(host.clock.pending).toBe(1);
      host.clock.advance(1);
    }
    await tells(...terms, 'elected', 'revoked: failed');
    expect(logged[0]).toMatch(/"shop:lock:\{scheduler\}" gives up.*can not lead/);
    await stopsWithoutTrace(leadership);
  });

  it('that was long before it failed is followed by a short pause', async () => {
    let fail = deferred();
    await using leadership = stand({
      onElected: async () => {
        await fail.promise;
        throw new Error('crashed');
      },
    });
    for (let term = 1; term <= 3; term++) {
      await eventually(() => events.filter((event) => event === 'elected').length === term);
      for (let third = 0; third < 11; third++) await renewed(leadership);
      const ends = fail;
      fail = deferred();
      ends.resolve();
      await eventually(() => events.at(-1) === 'revoked: failed' && host.clock.pending === 1);
      host.clock.advance(1_000);
    }
  });

  it('is handed over when the work has ended, and is covered by the lock until then', async () => {
    const ends = deferred();
    const leadership = stand({
      onElected: async (lock) => {
        await ends.promise;
        expect(lock.signal.aborted).toBe(true);
        expect(lock.isHeld).toBe(false);
        events.push('work ended');
      },
    });
    await tells('elected');
    const stopped = leadership.stop();
    const state = watch(stopped);
    expect(events).toEqual(['elected', 'revoked: stopped']);
    expect(leadership.isLeader).toBe(false);
    for (let turn = 0; turn < 5; turn++) await host.connection.client.ping(); // Behind whatever it has sent.
    expect(await other.locks.tryAcquire('scheduler')).toBeNull();
    expect(state.settled).toBe(false);
    ends.resolve();
    await stopped;
    expect(events).toEqual(['elected', 'revoked: stopped', 'work ended']);
    expect(await isFree()).toBe(true);
    expect(host.clock.pending).toBe(0);
  });

  it('is handed over when onRevoked has ended, too', async () => {
    const ends = deferred();
    const leadership = stand({ onRevoked: () => ends.promise });
    await tells('elected');
    const stopped = leadership.stop();
    for (let turn = 0; turn < 5; turn++) await host.connection.client.ping(); // Behind whatever it has sent.
    expect(await other.locks.tryAcquire('scheduler')).toBeNull();
    ends.resolve();
    await stopped;
    expect(await isFree()).toBe(true);
  });

  it('is handed over at the end of its lease when the work does not heed its signal', async () => {
    const leadership = stand({ onElected: () => new Promise(() => undefined) });
    await tells('elected');
    const stopped = leadership.stop();
    const state = watch(stopped);
    host.clock.advance(surely(9_000) - 1);
    await redis.client().ping();
    expect(state.settled).toBe(false);
    expect(await isFree()).toBe(false);
    host.clock.advance(1);
    await stopped;
    expect(await isFree()).toBe(true);
    expect(host.clock.pending).toBe(0);
  });

  it('is not followed by another one before its work has ended', async () => {
    const ends = deferred();
    await using leadership = stand({ onElected: () => ends.promise });
    await tells('elected');
    await depose();
    await host.clock.advanceAsync(60_000);
    expect(host.calls.get('lock.acquire')).toBe(1);
    await using _elsewhere = await other.locks.acquire('scheduler');
    expect(leadership.isLeader).toBe(false);
    ends.resolve();
    await eventually(() => (host.calls.get('lock.acquire') ?? 0) > 1);
    await _elsewhere.release();
    await tells('elected', 'revoked: taken', 'elected');
  });

  it('that is over does not keep a candidate from being stopped, although its work goes on', async () => {
    const leadership = stand({ onElected: () => new Promise(() => undefined) });
    await tells('elected');
    await depose();
    await stopsWithoutTrace(leadership);
    expect(events).toEqual(['elected', 'revoked: taken']);
  });

  it.each([
    [
      'throws',
      () => {
        throw new Error('no farewell');
      },
    ],
    ['rejects', () => Promise.reject(new Error('no farewell'))],
  ])('goes on with the next one when onRevoked %s', async (_how, onRevoked) => {
    const leadership = stand({ onRevoked });
    await tells('elected');
    await depose();
    await tells('elected', 'revoked: taken', 'elected');
    await leadership.stop();
    expect(logged).toEqual([
      expect.stringContaining('onRevoked of "shop:lock:{scheduler}" failed: no farewell'),
      expect.stringContaining('onRevoked of "shop:lock:{scheduler}" failed: no farewell'),
    ]);
  });

  it('tells of work that fails afterwards, unless it only heeds its signal', async () => {
    const failures = [new DOMException('enough', 'AbortError'), new Error('broken')];
    const leadership = stand({
      onElected: async (lock) => {
        const { signal } = lock;
        await new Promise((resolve) => {
          signal.addEventListener('abort', resolve);
        });
        const failure = failures.shift();
        if (failure !== undefined) throw failure;
        signal.throwIfAborted();
      },
    });
    await tells('elected');
    await depose();
    await eventually(() => events.length === 3);
    await depose();
    await eventually(() => events.length === 5);
    await leadership.stop();
    expect(logged).toEqual([expect.stringContaining('failed after its term: broken')]);
  });

  it('can be ended by its own work', async () => {
    const leadership: Leadership = stand({
      onElected: () => {
        void leadership.stop();
      },
    });
    await tells('elected', 'revoked: stopped');
    await stopsWithoutTrace(leadership);
  });

  it('is stood for through an outage of any length, which is told once in a while', async () => {
    host.onCall('lock.acquire', outage);
    const leadership = stand();
    const minute = async () => {
      const before = host.calls.get('lock.acquire') ?? 0;
      for (let step = 0; step < 60; step++) await host.clock.advanceAsync(1_000);
      return (host.calls.get('lock.acquire') ?? 0) - before;
    };
    await minute();
    // Every 2 s at most, and each attempt asks for as long as a budget.
    expect(await minute()).toBeGreaterThan(20);
    expect(logged.length).toBeGreaterThanOrEqual(3);
    expect(logged.length).toBeLessThanOrEqual(5);
    expect(logged[0]).toContain('Nobody can stand for "shop:lock:{scheduler}" here, trying again');
    host.onCall('lock.acquire', (send) => send());
    await eventually(async () => {
      await host.clock.advanceAsync(500);
      expect(events).toEqual(['elected']);
    });
    await stopsWithoutTrace(leadership);
  });

  it('is not begun by a candidate that is stopped during an outage', async () => {
    host.onCall('lock.acquire', outage);
    host.onCall('lock.give-up', outage);
    const leadership = stand();
    await host.clock.advanceAsync(20_000);
    await leadership.stop();
    host.onCall('lock.give-up', (send) => send());
    await host.clock.advanceAsync(10_000);
    expect(host.clock.pending).toBe(0);
    expect(events).toEqual([]);
  });

  it('ends with a connection that is closed under it, and no other one is tried', async () => {
    stand();
    await tells('elected');
    await host.connection.close();
    await tells('elected', 'revoked: shutdown');
    await eventually(() => host.clock.pending === 0);
    expect(await isFree()).toBe(true);
  });
});
