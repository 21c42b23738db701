import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { RedisModule, RedisUnavailableError } from '@redstart/redis-core';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import {
  getLockToken,
  LockService,
  onLockEvent,
  RedisLockModule,
  type LockEvent,
  type LockHappening,
  type LockStats,
} from '../src/index.js';
import { DrivenHost } from './driven-host.js';
import { Nodes, startQuorumHost } from './quorum-support.js';
import { deferred, failureOf, takenOneByOne } from './support.js';

const key = 'shop:lock:{order:42}';

/** What happened, without what it is about. */
function happenings(events: readonly LockEvent[]): LockHappening[] {
  return events.map(
    ({ module: _module, connection: _connection, kind: _kind, label: _label, ...happening }) => happening,
  );
}

/** Every attempt and every lock ends in one way. */
function expectBalance({ attempts, acquired, timeouts, refused, failed, pending, ...ends }: LockStats): void {
  expect(acquired + timeouts + refused + failed + pending).toBe(attempts);
  expect(ends.released + ends.lost + ends.releaseFailed + ends.held).toBe(acquired);
  expect(Math.min(pending, ends.held)).toBeGreaterThanOrEqual(0);
}

describeOn(standalone)('the events of a lock', (redis) => {
  let host: DrivenHost;
  let events: LockEvent[];
  let stop: () => void;
  beforeEach(async () => {
    events = [];
    host = await DrivenHost.start(redis.connection, { label: 'billing' });
    stop = onLockEvent((event) => events.push(event));
  });
  afterEach(async () => {
    stop();
    expectBalance(host.locks.stats());
    await host[Symbol.asyncDispose]();
  });
  const outage = (outcome: 'unknown' | 'not-executed') => new RedisUnavailableError('no answer', outcome);
  /** Somebody else has the lock, and lets go of it. */
  const foreignHolder = () => redis.client().set(key, `${'x'.repeat(22)}elsewhere:1:abcdefgh`, 'PX', 60_000);
  const names = () => events.map(({ event }) => event);

  it('tell of its life, in milliseconds, and name the module, the kind and the label', async () => {
    const lock = await host.locks.acquire('order:42');
    host.clock.advance(100);
    await lock.extend();
    host.clock.advance(150);
    await lock.release();
    await lock.release();
    const about = { module: 'default', connection: 'default', kind: 'mutex', label: 'billing' };
    expect(events).toEqual([
      { ...about, event: 'attempt' },
      { ...about, event: 'acquired', waitedMs: 0 },
      { ...about, event: 'extended' },
      { ...about, event: 'released', heldMs: 250, wasHeld: true },
    ]);
    expect(events.every((event) => Object.isFrozen(event))).toBe(true);
    expect(host.locks.stats()).toEqual({
      attempts: 1,
      contended: 0,
      acquired: 1,
      timeouts: 0,
      refused: 0,
      failed: 0,
      pending: 0,
      reentered: 0,
      extended: 1,
      extendFailed: 0,
      released: 1,
      lost: 0,
      releaseFailed: 0,
      held: 0,
      forced: 0,
      waitedMs: 0,
      heldMs: 250,
    });
  });

  it('tell of a wait: contended once, however often it looks, and how long until it was acquired', async () => {
    await foreignHolder();
    host.onCall('lock.acquire', (send) => send());
    const waiting = host.locks.acquire('order:42', { label: 'mine' });
    // The second look comes when the channel is listened to.
    await eventually(() => host.calls.get('lock.acquire') === 2 && host.clock.pending > 0);
    expect(host.locks.stats()).toMatchObject({ attempts: 1, pending: 1, contended: 1 });
    await redis.client().del(key);
    host.clock.advance(20_000);
    await (await waiting).release();
    expect(happenings(events)).toEqual([
      { event: 'attempt' },
      { event: 'contended' },
      { event: 'acquired', waitedMs: 20_000 },
      { event: 'released', heldMs: 0, wasHeld: true },
    ]);
    expect(new Set(events.map(({ label }) => label))).toEqual(new Set(['mine']));
    expect(host.locks.stats()).toMatchObject({ waitedMs: 20_000 });
  });

  it('tell of a wait in vain, of a refusal without a wait, and of what forceRelease took away', async () => {
    await foreignHolder();
    const late = failureOf(host.locks.acquire('order:42', { waitTimeout: '2s' }));
    await eventually(() => host.clock.pending > 0);
    host.clock.advance(2_000);
    await late;
    expect(await host.locks.tryAcquire('order:42')).toBeNull();
    expect(await host.locks.forceRelease('order:42')).toBe(true);
    expect(await host.locks.forceRelease('order:42')).toBe(false);
    expect(happenings(events)).toEqual([
      { event: 'attempt' },
      { event: 'contended' },
      { event: 'timeout', waitedMs: 2_000 },
      { event: 'attempt' },
      { event: 'contended' },
      { event: 'refused' },
      { event: 'forced' },
    ]);
    expect(host.locks.stats()).toMatchObject({ attempts: 2, contended: 2, timeouts: 1, refused: 1, forced: 1 });
  });

  it('tell why an attempt failed', async () => {
    host.onCall('lock.acquire', () => Promise.reject(outage('not-executed')));
    await failureOf(host.locks.tryAcquire('order:42'));
    host.onCall('lock.acquire', () => Promise.reject(new Error('a defect')));
    await failureOf(host.locks.tryAcquire('order:42'));
    host.onCall('lock.acquire', (send) => send());
    await failureOf(host.locks.acquire('order:42', { signal: AbortSignal.abort(new Error('enough')) }));
    await failureOf(host.locks.acquire([['a'], ['b']], { signal: AbortSignal.abort(new Error('enough')) }));
    await foreignHolder();
    const waiting = failureOf(host.locks.acquire('order:42'));
    await eventually(() => host.clock.pending > 0);
    await host.locks.onModuleDestroy();
    await waiting;
    const failures = happenings(events).filter(({ event }) => event === 'failed');
    expect(failures).toEqual(
      ['unavailable', 'error', 'aborted', 'aborted', 'shutdown'].map((reason) => ({
        event: 'failed',
        waitedMs: 0,
        reason,
      })),
    );
    expect(host.locks.stats()).toMatchObject({ attempts: 5, failed: 5, pending: 0 });
  });

  it('tell of a loss once, with its reason, and of a release that came too late', async () => {
    const byDeadline = await host.locks.acquire('order:42', { ttl: '10s' });
    host.clock.advance(10_000);
    expect(await byDeadline.release()).toBe(false);
    await eventually(async () => (await redis.client().exists(key)) === 0);
    const takenAway = await host.locks.acquire('order:42');
    await redis.client().del(key);
    expect(await takenAway.release()).toBe(false);
    const tooLong = await host.locks.acquire('order:42', { maxHold: '1s' });
    host.clock.advance(1_000);
    expect(tooLong.isHeld).toBe(false);
    expect(happenings(events).filter(({ event }) => event === 'lost' || event === 'released')).toEqual([
      { event: 'lost', heldMs: 9_898, reason: 'deadline' },
      { event: 'released', heldMs: 10_000, wasHeld: false },
      { event: 'lost', heldMs: 0, reason: 'taken' },
      { event: 'released', heldMs: 0, wasHeld: false },
      { event: 'lost', heldMs: 1_000, reason: 'max-hold' },
    ]);
    expect(host.locks.stats()).toMatchObject({ acquired: 3, lost: 3, released: 0, held: 0, heldMs: 10_898 });
  });

  it('tell of extensions and releases that fail', async () => {
    const lock = await host.locks.acquire('order:42');
    host.onCall('lock.extend', () => Promise.reject(outage('unknown')));
    await failureOf(lock.extend());
    expect(host.locks.stats()).toMatchObject({ held: 1, extendFailed: 1 });
    host.onCall('lock.release', () => Promise.reject(outage('not-executed')));
    await failureOf(lock.release());
    expect(names()).toEqual(['attempt', 'acquired', 'extend-failed', 'release-failed']);
    expect(host.locks.stats()).toMatchObject({ extended: 0, extendFailed: 1, releaseFailed: 1, held: 0 });
  });

  it('tell nothing of an extension that fails when its lock is over', async () => {
    const lock = await host.locks.acquire('order:42');
    let fail: () => void = () => undefined;
    host.onCall(
      'lock.extend',
      () =>
        new Promise((_, reject) => {
          fail = () => {
            reject(outage('unknown'));
          };
        }),
    );
    const failure = failureOf(lock.extend());
    host.clock.advance(3_600_000);
    fail();
    expect(await failure).toBeInstanceOf(RedisUnavailableError);
    expect(names()).toEqual(['attempt', 'acquired', 'lost']);
    expect(host.locks.stats()).toMatchObject({ lost: 1, extendFailed: 0 });
  });

  it.each([
    ['at once', false],
    ['one by one', true],
  ])('tell of several locks as of one, taken %s, and nothing of the parts', async (_way, oneByOne) => {
    if (oneByOne) await takenOneByOne(redis.client(), 'b');
    const lock = await host.locks.acquire([['a'], ['b'], ['c']]);
    await lock.extend();
    await lock.release();
    expect(names()).toEqual(['attempt', 'acquired', 'extended', 'released']);
    expect(new Set(events.map(({ kind }) => kind))).toEqual(new Set(['multi-lock']));
    expect(host.calls.get('lock.acquire') ?? 0).toBeGreaterThanOrEqual(oneByOne ? 3 : 0);
  });

  it('tell of several locks that one was held, and nothing of those that were given back', async () => {
    await foreignHolder();
    const late = failureOf(host.locks.acquire([['a'], ['order', 42]], { waitTimeout: '2s' }));
    // The deadline of the first one, its renewal, and the sleep in the queue of the second one.
    await eventually(() => host.clock.pending === 3);
    host.clock.advance(2_000);
    await late;
    expect(await host.locks.tryAcquire([['a'], ['order', 42]])).toBeNull();
    expect(names()).toEqual(['attempt', 'contended', 'timeout', 'attempt', 'contended', 'refused']);
    expect(await redis.client().exists('shop:lock:{a}')).toBe(0);
  });

  it('tell of nested calls how long they waited for their turn', async () => {
    const nested = { reentrant: true } as const;
    await host.locks.withLock('order:42', {}, async () => {
      const done = deferred();
      const both = [
        host.locks.withLock('order:42', nested, () => done.promise),
        host.locks.withLock('order:42', nested, () => Promise.resolve()),
      ];
      await new Promise(setImmediate);
      host.clock.advance(300);
      done.resolve();
      await Promise.all(both);
    });
    expect(happenings(events)).toEqual([
      { event: 'attempt' },
      { event: 'acquired', waitedMs: 0 },
      { event: 'reentered', waitedMs: 0 },
      { event: 'reentered', waitedMs: 300 },
      { event: 'released', heldMs: 300, wasHeld: true },
    ]);
  });

  it('hold no key, no token and no address', async () => {
    const lock = await host.locks.acquire(['order', 'S3CRET']);
    await lock.release();
    await host.locks.withLock([['order', 'S3CRET'], ['b']], {}, () => Promise.resolve());
    const told = JSON.stringify(events);
    expect(events.length).toBeGreaterThan(5);
    expect(told).not.toMatch(/S3CRET|shop|127\.0\.0\.1/);
    expect(told).not.toContain(lock.token);
  });

  it('break nothing when a listener throws or rejects, and the operator is told once', async () => {
    const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    let heard = 0;
    const stops = [
      onLockEvent(() => {
        heard += 1;
        throw new Error('no disk');
      }),
      onLockEvent(() => Promise.reject(new Error('no network'))),
    ];
    await expect(host.locks.withLock('order:42', {}, () => Promise.resolve(7))).resolves.toBe(7);
    expect(await redis.client().exists(key)).toBe(0);
    expect(heard).toBe(3);
    expect(warn.mock.calls).toEqual([
      ['A listener of lock events failed: no disk'],
      ['A listener of lock events failed: no network'],
    ]);
    for (const one of stops) one();
    await (await host.locks.acquire('order:42')).release();
    expect(heard).toBe(3);
    warn.mockRestore();
  });
});

describeOn(standalone, cluster)('stats() and events', (redis) => {
  it('keep named modules apart', async () => {
    const module = await Test.createTestingModule({
      imports: [
        RedisModule.forRoot({ namespace: 'shop', ...redis.connection }),
        RedisLockModule.forRoot({ label: 'first', commandTimeout: '5s' }),
        RedisLockModule.forRoot({ name: 'jobs', commandTimeout: '5s' }),
      ],
    }).compile();
    await module.init();
    const jobs = module.get<LockService>(getLockToken('jobs'));
    const events: LockEvent[] = [];
    const stop = onLockEvent((event) => events.push(event));
    await using lock = await jobs.acquire('x');
    stop();
    expect(events).toMatchObject([
      { event: 'attempt', module: 'jobs', label: undefined },
      { event: 'acquired', module: 'jobs' },
    ]);
    expect(jobs.stats()).toMatchObject({ attempts: 1, held: 1 });
    expect(module.get(LockService).stats()).toMatchObject({ attempts: 0, held: 0 });
    await lock.release();
    await module.close();
  });

  it('add up after a rush of calls, some of which wait, give up, lose their lock or are refused', async () => {
    await using host = await DrivenHost.start(redis.connection, { ttl: '60s' });
    const calls = Array.from({ length: 60 }, async (_, n) => {
      const at = ['job', n % 4];
      if (n % 3 === 0) return host.locks.tryAcquire(at).then((lock) => lock?.release());
      return host.locks.withLock(at, { waitTimeout: n % 2 === 0 ? '10s' : '1s' }, async (lock) => {
        if (n % 5 === 0) await redis.client().del(`shop:lock:{job:${n % 4}}`);
        await lock.extend();
      });
    });
    const ended = Promise.allSettled(calls);
    await eventually(() => {
      host.clock.advance(100);
      return host.locks.stats().pending === 0;
    });
    const outcomes = await ended;
    const stats = host.locks.stats();
    expectBalance(stats);
    expect(stats).toMatchObject({ attempts: 60, pending: 0, held: 0 });
    expect(stats.lost + stats.timeouts + stats.failed).toBe(
      outcomes.filter(({ status }) => status === 'rejected').length,
    );
    expect(stats.lost).toBeGreaterThan(0);
    expect(stats.refused).toBeGreaterThan(0);
  });
});

describeOn(standalone)('the events of other locks', (redis) => {
  const heard = async (locks: LockService, work: () => Promise<unknown>) => {
    const events: LockEvent[] = [];
    const stop = onLockEvent((event) => events.push(event));
    await work();
    stop();
    expectBalance(locks.stats());
    expect(locks.stats()).toMatchObject({ pending: 0, held: 0 });
    return events.map(({ kind, event }) => `${kind} ${event}`);
  };

  it('name both sides of a read/write lock, and tell of one that is downgraded as of one lock', async () => {
    await using host = await DrivenHost.start(redis.connection);
    const prices = host.locks.readWrite('prices');
    const told = await heard(host.locks, async () => {
      await prices.withWrite({}, async (writer) => {
        expect(await failureOf(prices.read())).toMatchObject({ code: 'READ_WRITE_NESTING' });
        await writer.downgrade();
      });
      await (await prices.read()).release();
    });
    expect(told).toEqual([
      'write attempt',
      'write acquired',
      'read attempt',
      'read failed',
      'write released',
      'read attempt',
      'read acquired',
      'read released',
    ]);
    expect(host.locks.stats()).toMatchObject({ attempts: 3, acquired: 2, released: 2, failed: 1 });
  });

  it('end when a downgrade fails', async () => {
    await using host = await DrivenHost.start(redis.connection);
    const writer = await host.locks.readWrite('prices').write();
    const told = await heard(host.locks, async () => {
      await redis.client().del('shop:rwlock:{prices}');
      expect(await failureOf(writer.downgrade())).toMatchObject({ code: 'LOCK_LOST' });
    });
    expect(told).toEqual(['write lost']);
  });

  it('tell of permits', async () => {
    await using host = await DrivenHost.start(redis.connection);
    const bank = host.locks.semaphore('bank', { permits: 2 });
    const told = await heard(host.locks, () =>
      bank.withPermit({ permits: 2 }, async () => {
        expect(await bank.tryAcquire()).toBeNull();
      }),
    );
    expect(told).toEqual([
      'semaphore attempt',
      'semaphore acquired',
      'semaphore attempt',
      'semaphore contended',
      'semaphore refused',
      'semaphore released',
    ]);
  });

  it('tell of a leader, not of the mutex that it holds', async () => {
    await using host = await DrivenHost.start(redis.connection);
    const told = await heard(host.locks, async () => {
      const leadership = host.locks.leader('scheduler', { onElected: () => undefined });
      await eventually(() => leadership.isLeader);
      await leadership.lock?.extend();
      await leadership.stop();
    });
    expect(told).toEqual(['leader attempt', 'leader acquired', 'leader extended', 'leader released']);
    expect(host.locks.stats()).toMatchObject({ attempts: 1, acquired: 1, released: 1 });
  });

  it('tell of a quorum, in which nested calls find their outer lock as well', async () => {
    await using nodes = await Nodes.start(3);
    await using host = await startQuorumHost(nodes.servers, { commandTimeout: '5s' });
    await using other = await startQuorumHost(nodes.servers, { commandTimeout: '5s' });
    const told = await heard(host.locks, () =>
      host.locks.withLock('x', {}, async (outer) => {
        await host.locks.withLock('x', { reentrant: true }, (inner) => {
          expect(inner.token).toBe(outer.token);
          return Promise.resolve();
        });
        expect(await failureOf(host.locks.withLock('x', { waitTimeout: 1 }, () => Promise.resolve()))).toMatchObject({
          nesting: 'outer',
        });
      }),
    );
    expect(told).toEqual([
      'quorum attempt',
      'quorum acquired',
      'quorum reentered',
      'quorum attempt',
      'quorum contended',
      'quorum timeout',
      'quorum released',
    ]);
    const elected = await heard(host.locks, async () => {
      const leadership = host.locks.leader('scheduler', { onElected: () => undefined });
      await eventually(() => leadership.isLeader);
      await leadership.stop();
    });
    expect(elected).toEqual(['leader attempt', 'leader acquired', 'leader released']);
    const held = await host.locks.acquire('x');
    const forced = await heard(other.locks, () => other.locks.forceRelease('x'));
    expect(forced).toEqual(['quorum forced']);
    expect(await held.release()).toBe(false);
  });
});
