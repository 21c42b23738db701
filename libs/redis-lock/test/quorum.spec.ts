import { jest } from '@jest/globals';
import { eventually, RedisServer } from '@redstart/redis-testing';
import { LockLostError, LockQuorumError, LockTimeoutError } from '../src/index.js';
import { Nodes, Proxies, startQuorumHost } from './quorum-support.js';
import { deferred, failureOf, type Host } from './support.js';

const key = 'shop:lock:{order:42}';
/** A busy machine is no outage. */
const patient = { commandTimeout: '5s' } as const;
const stranger = `${'s'.repeat(22)}stranger:1:abcdefgh_00000001`;

describe('a lock over three nodes', () => {
  let nodes: Nodes;
  let host: Host;
  let other: Host;
  beforeAll(async () => {
    nodes = await Nodes.start(3);
    host = await startQuorumHost(nodes.servers, { label: 'billing', ...patient });
    other = await startQuorumHost(nodes.servers, patient);
  });
  afterAll(async () => {
    await Promise.all([host.app.close(), other.app.close()]);
    await nodes[Symbol.asyncDispose]();
  });
  beforeEach(() => nodes.flush());

  /** Somebody else has it at this node. */
  const occupy = (index: number, at = key) => nodeAt(index).ask((redis) => redis.set(at, stranger, 'PX', 60_000));
  const nodeAt = (index: number): RedisServer => {
    const server = nodes.servers[index];
    if (server === undefined) throw new RangeError(`There is no node ${index}.`);
    return server;
  };

  it('is taken at every node with a lease, remembered there by its fencing token, and released everywhere', async () => {
    const lock = await host.locks.acquire('order:42', { ttl: '60s' });
    expect(lock.keys).toEqual([key]);
    expect(lock.remainingMs).toBeGreaterThan(50_000);
    expect(lock.remainingMs).toBeLessThanOrEqual(60_000 * 0.99 - 2);
    await eventually(async () => {
      expect(await nodes.holding(key, lock.token)).toBe(3);
      expect(await nodes.get(`${key}:fence`)).toEqual(Array(3).fill(`${lock.fencingToken}`));
    });
    for (const leaseMs of await nodes.pttl(key)) expect(leaseMs).toBeGreaterThan(50_000);
    for (const leaseMs of await nodes.pttl(`${key}:fence`)) expect(leaseMs).toBeGreaterThan(80_000_000);
    expect(await lock.release()).toBe(true);
    await eventually(async () => {
      expect(await nodes.keys()).toEqual([]);
    });
  });

  it('keeps others out: null, a timeout that names the holder, and the next one when it is free', async () => {
    const lock = await host.locks.acquire('order:42');
    expect(await other.locks.tryAcquire('order:42')).toBeNull();
    const timeout = await failureOf(other.locks.acquire('order:42', { waitTimeout: 200 }));
    expect(timeout).toBeInstanceOf(LockTimeoutError);
    expect(timeout).toMatchObject({ key, holder: { pid: process.pid, label: 'billing' } });
    expect(await other.locks.tryWithLock('order:42', {}, () => Promise.resolve(1))).toEqual({ ran: false, key });
    const next = other.locks.acquire('order:42', { waitTimeout: '10s' });
    await lock.release();
    const { fencingToken } = await next;
    expect(fencingToken).toBeGreaterThan(lock.fencingToken);
    await (await next).release();
  });

  it('gives back what a lost round has won, and harms nobody by it', async () => {
    await Promise.all([occupy(1), occupy(2)]);
    expect(await host.locks.tryAcquire('order:42')).toBeNull();
    await eventually(async () => {
      expect(await nodes.get(key)).toEqual([null, stranger, stranger]);
    });
  });

  it('is won by a quorum, and completed in the background at the node that was missing', async () => {
    await occupy(0);
    const lock = await host.locks.acquire('order:42', { ttl: '20s' });
    expect(await nodes.holding(key, lock.token)).toBe(2);
    await nodeAt(0).ask((redis) => redis.del(key));
    await eventually(async () => {
      expect(await nodes.holding(key, lock.token)).toBe(3);
      expect(await nodes.get(`${key}:fence`)).toEqual(Array(3).fill(`${lock.fencingToken}`));
    });
    const [leaseMs = 0] = await nodes.pttl(key);
    expect(leaseMs).toBeGreaterThan(lock.remainingMs - 1_000);
    expect(leaseMs).toBeLessThanOrEqual(20_000);
    await lock.release();
    await eventually(async () => {
      expect(await nodes.keys()).toEqual([]);
    });
  });

  it('does not come back at a node once it is released', async () => {
    await occupy(0);
    const lock = await host.locks.acquire('order:42');
    await lock.release();
    await nodeAt(0).ask((redis) => redis.del(key));
    const until = performance.now() + 700; // Longer than the first pauses of whoever is still trying.
    await eventually(() => performance.now() > until);
    expect(await nodes.keys()).toEqual([]);
  });

  it('is renewed at every node, and taken anew at one that has lost it', async () => {
    await using lock = await host.locks.acquire('order:42', { ttl: 2_400, autoExtend: true });
    await eventually(async () => {
      expect(await nodes.holding(key, lock.token)).toBe(3);
    });
    await nodeAt(2).flush();
    await eventually(async () => {
      expect(await nodes.holding(key, lock.token)).toBe(3);
    });
    const until = performance.now() + 2_500; // Longer than the lease.
    await eventually(() => performance.now() > until);
    expect(lock.isHeld).toBe(true);
    expect(await nodes.get(`${key}:fence`)).toEqual(Array(3).fill(`${lock.fencingToken}`));
  });

  it('is renewed together with the other locks of the process: by one script at each node', async () => {
    await using proxies = await Proxies.start(nodes);
    await using far = await startQuorumHost(proxies.all, patient);
    await (await far.locks.acquire('warm-up')).release();
    const subjects = Array.from({ length: 30 }, (_, index) => ['order', index]);
    const call = { ttl: '6s', autoExtend: true } as const;
    const locks = await Promise.all(subjects.map((subject) => far.locks.acquire(subject, call)));
    await eventually(async () => {
      expect((await nodes.keys()).length).toBe(90);
    });
    for (const { commands } of proxies.all) commands.clear();
    const before = locks.map(({ remainingMs }) => remainingMs);
    await eventually(() => {
      locks.forEach(({ remainingMs }, index) => {
        expect(remainingMs).toBeGreaterThan((before[index] ?? Infinity) - 500);
      });
      expect(proxies.all.every(({ commands }) => commands.has('EVALSHA'))).toBe(true);
    });
    // A few, should they have been granted more than a moment apart.
    for (const { commands } of proxies.all) expect(commands.get('EVALSHA')).toBeLessThan(10);
    await Promise.all(locks.map((lock) => lock.release()));
  });

  it('extends by a quorum, counted from the moment at which it was sent', async () => {
    await using lock = await host.locks.acquire('order:42', { ttl: '10s' });
    await lock.extend('60s');
    expect(lock.remainingMs).toBeGreaterThan(50_000);
    await eventually(async () => {
      for (const leaseMs of await nodes.pttl(key)) expect(leaseMs).toBeGreaterThan(50_000);
    });
  });

  it('is lost when a majority has forgotten it, even if a later holder has come and gone', async () => {
    const lock = await host.locks.acquire('order:42', { ttl: '20s' });
    const { signal } = lock;
    await Promise.all([nodeAt(0).flush(), nodeAt(1).flush()]);
    await expect(lock.extend()).rejects.toThrow(LockLostError);
    expect(signal.reason).toMatchObject({ code: 'LOCK_LOST', reason: 'quorum' });
    await eventually(async () => {
      expect(await nodes.keys()).toEqual([]);
    });
  });

  it('is not joined by a node that has seen a later holder', async () => {
    await occupy(2);
    await using lock = await host.locks.acquire('order:42', { ttl: '20s' });
    await nodeAt(2).ask((redis) =>
      redis
        .multi()
        .set(`${key}:fence`, lock.fencingToken + 5, 'PX', 60_000)
        .del(key)
        .exec(),
    );
    const until = performance.now() + 700;
    await eventually(() => performance.now() > until);
    expect(await nodes.holding(key, lock.token)).toBe(2);
  });

  it('takes several locks at once at every node, or none', async () => {
    const lock = await host.locks.acquire([['b'], ['a'], ['b']]);
    expect(lock.keys).toEqual(['shop:lock:{a}', 'shop:lock:{b}']);
    await eventually(async () => {
      for (const each of lock.keys) {
        expect(await nodes.holding(each, lock.token)).toBe(3);
        expect(await nodes.get(`${each}:fence`)).toEqual(Array(3).fill(`${lock.fencingToken}`));
      }
    });
    expect(await other.locks.tryAcquire([['b'], ['c']])).toBeNull();
    const timeout = await failureOf(other.locks.acquire([['b'], ['c']], { waitTimeout: 100 }));
    expect(timeout).toMatchObject({ code: 'LOCK_TIMEOUT', key: 'shop:lock:{b}' });
    expect(await nodes.get('shop:lock:{c}')).toEqual([null, null, null]);
    await lock.extend('30s');
    expect(await lock.release()).toBe(true);
    await eventually(async () => {
      expect(await nodes.keys()).toEqual([]);
    });
  });

  it('is looked at, and taken away by force, at a quorum', async () => {
    expect(await other.locks.inspect('order:42')).toBeNull();
    expect(await other.locks.forceRelease('order:42')).toBe(false);
    const lock = await host.locks.acquire('order:42', { ttl: '20s' });
    await eventually(async () => {
      expect(await nodes.holding(key, lock.token)).toBe(3);
    });
    const state = await other.locks.inspect('order:42');
    expect(state).toMatchObject({ key, holder: { label: 'billing' }, fencingToken: lock.fencingToken, waiting: 0 });
    expect(Math.abs((state?.since.getTime() ?? 0) - Date.now())).toBeLessThan(5_000);
    await nodeAt(0).ask((redis) => redis.pexpire(key, 60_000));
    await nodeAt(1).ask((redis) => redis.pexpire(key, 5_000));
    // Once the second of three leases has ended, what is left is no quorum.
    const { remainingMs = 0 } = (await other.locks.inspect('order:42')) ?? {};
    expect(remainingMs).toBeGreaterThan(5_000);
    expect(remainingMs).toBeLessThanOrEqual(20_000);
    await nodeAt(2).ask((redis) => redis.del(key));
    expect((await other.locks.inspect('order:42'))?.remainingMs).toBeLessThanOrEqual(5_000);
    await nodeAt(1).ask((redis) => redis.del(key));
    expect(await other.locks.isLocked('order:42')).toBe(false);

    const again = await other.locks.acquire('order:43', { ttl: '20s' });
    expect(await host.locks.forceRelease('order:43')).toBe(true);
    await expect(again.extend()).rejects.toMatchObject({ reason: 'quorum' });
    await eventually(async () => {
      expect(await nodes.get('shop:lock:{order:43}')).toEqual([null, null, null]);
    });
    await lock.release();
  });

  it('stays taken for minHold, and is lost after maxHold', async () => {
    const held = await host.locks.acquire('order:42', { ttl: '20s', minHold: '10s' });
    expect(await held.release()).toBe(true);
    await eventually(async () => {
      for (const leaseMs of await nodes.pttl(key)) {
        expect(leaseMs).toBeGreaterThan(0);
        expect(leaseMs).toBeLessThanOrEqual(10_000);
      }
    });
    expect(await other.locks.tryAcquire('order:42')).toBeNull();
    const failure = await failureOf(
      host.locks.withLock('order:43', { ttl: '20s', maxHold: 150 }, async ({ signal }) => {
        await new Promise((resolve) => {
          signal.addEventListener('abort', resolve, { once: true });
        });
      }),
    );
    expect(failure).toMatchObject({ code: 'LOCK_LOST', reason: 'max-hold' });
  });

  it('stops waiting when its signal says so, and leaves nothing behind', async () => {
    const lock = await host.locks.acquire('order:42', { ttl: '20s' });
    const giveUp = new AbortController();
    const waiting = failureOf(other.locks.acquire('order:42', { signal: giveUp.signal }));
    giveUp.abort(new Error('changed my mind'));
    expect((await waiting).message).toBe('changed my mind');
    await lock.release();
    await eventually(async () => {
      expect(await nodes.keys()).toEqual([]);
    });
  });

  it('is woken from its pause at once when it is to stop, by its signal or by the shutdown', async () => {
    const leaving = await startQuorumHost(nodes.servers, patient);
    await using lock = await host.locks.acquire('order:42', { ttl: '60s' });
    // So long that a pause ends with the wait itself: after a minute.
    const longest = jest.spyOn(Math, 'random').mockReturnValue(1_000);
    try {
      const giveUp = new AbortController();
      const patient = { waitTimeout: '1m' } as const;
      const aborted = failureOf(leaving.locks.acquire('order:42', { ...patient, signal: giveUp.signal }));
      const refused = failureOf(leaving.locks.acquire('order:42', patient));
      await eventually(() => leaving.locks.stats().contended === 2); // Both have been refused, and pause.
      longest.mockRestore();
      const since = performance.now();
      giveUp.abort(new Error('changed my mind'));
      expect((await aborted).message).toBe('changed my mind');
      await leaving.app.close();
      expect(await refused).toMatchObject({ code: 'LOCK_NOT_ACQUIRED', reason: 'shutdown' });
      expect(performance.now() - since).toBeLessThan(20_000);
      expect(lock.isHeld).toBe(true);
    } finally {
      longest.mockRestore();
      await leaving.app.close();
    }
  });

  it('at shutdown: whoever waits is refused, whoever holds is told, and no key is left at any node', async () => {
    await using leaving = await startQuorumHost(nodes.servers, patient);
    await using blocker = await host.locks.acquire('order:42');
    await eventually(async () => {
      expect(await nodes.holding(key, blocker.token)).toBe(3);
    });
    const held = await leaving.locks.acquire('mine', { ttl: '60s', autoExtend: true });
    const { signal } = held;
    const working = deferred();
    const done = leaving.locks.withLock('work', { ttl: '60s' }, async () => {
      working.resolve();
      await Promise.resolve();
    });
    await working.promise;
    const waiting = failureOf(leaving.locks.acquire('order:42', { waitTimeout: '1m' }));
    await done;
    await leaving.app.close();
    expect(await waiting).toMatchObject({ code: 'LOCK_NOT_ACQUIRED', reason: 'shutdown' });
    expect(signal.reason).toMatchObject({ code: 'LOCK_LOST', reason: 'shutdown' });
    expect(new Set(await nodes.keys())).toEqual(new Set([key]));
    expect(await nodes.holding(key, blocker.token)).toBe(3);
  });

  it('tells of nodes that are out of reach by their names and reasons, as 503', async () => {
    await using proxies = await Proxies.start(nodes);
    await using far = await startQuorumHost(proxies.all, { commandTimeout: 700 });
    await eventually(async () => (await far.locks.acquire('warm-up')).release());
    const holes = [proxies.at(0).blackhole(), proxies.at(2).refuse()];
    const error = await failureOf(far.locks.acquire('order:42'));
    if (!(error instanceof LockQuorumError)) throw error;
    expect(error).toMatchObject({ code: 'LOCK_QUORUM', key, needed: 2, nodes: 3, response: { status: 503 } });
    const { causes } = error;
    expect(Object.keys(causes).sort()).toEqual(['lock-a', 'lock-c']);
    expect(causes['lock-a']).toContain(`127.0.0.1:${proxies.at(0).port}`);
    expect(error.message).toContain('lock-c: ');
    for (const hole of holes) {
      expect(hole.injected).toBeGreaterThan(0);
      hole.stop();
    }
    await eventually(async () => {
      expect(await nodes.keys()).toEqual([]);
    });
  });
});
