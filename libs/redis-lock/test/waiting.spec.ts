import { LockNotAcquiredError, type Lock } from '../src/index.js';
import { cluster, describeOn, eventually, sentinel, standalone } from '@redstart/redis-testing';
import { failureOf, startHost, watch, type Host } from './support.js';

describeOn(
  standalone,
  sentinel,
  cluster,
)('waiting', (redis) => {
  let hosts: [Host, Host];
  beforeAll(async () => {
    // What comes by a timer comes far too late to be taken for a push.
    const patient = { queueLease: '60s' } as const;
    hosts = [await startHost(redis.connection, patient), await startHost(redis.connection, patient)];
  });
  afterAll(async () => {
    for (const { app } of hosts) await app.close();
  });
  const key = 'shop:lock:{order:42}';
  const waiting = async (count: number) => {
    await eventually(async () => {
      expect((await hosts[0].locks.inspect('order:42'))?.waiting).toBe(count);
    });
  };
  /** Both processes listen already, as after the first contention. */
  const warmUp = async () => {
    const held = await hosts[0].locks.acquire('order:42');
    const next = hosts.map(async ({ locks }) => (await locks.acquire('order:42')).release());
    await waiting(2);
    await held.release();
    await Promise.all(next);
  };

  it('serves waiters of all hosts first come first served, each woken by the release before it', async () => {
    await warmUp();
    const held = await hosts[0].locks.acquire('order:42');
    const order: number[] = [];
    const gaps: number[] = [];
    let releasedAt = 0;
    const all: Promise<void>[] = [];
    for (let i = 0; i < 8; i++) {
      const got = hosts[i % 2 ? 1 : 0].locks.acquire('order:42').then(async (lock) => {
        order.push(i);
        gaps.push(performance.now() - releasedAt);
        releasedAt = performance.now();
        expect(await lock.release()).toBe(true);
      });
      all.push(got);
      await waiting(i + 1);
    }
    releasedAt = performance.now();
    await held.release();
    await Promise.all(all);

    expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    // A timer would have come after 20 s at the earliest.
    expect(Math.max(...gaps)).toBeLessThan(10_000);
  });

  it('does not let a newcomer past those who wait', async () => {
    await warmUp();
    const held = await hosts[0].locks.acquire('order:42');
    const first = hosts[1].locks.acquire('order:42');
    await waiting(1);
    const released = held.release();
    const barging = hosts[0].locks.tryAcquire('order:42');
    await released;
    expect(await barging).toBeNull();
    await (await first).release();
  });

  it('hands over a full lease and a rising fencing token', async () => {
    await warmUp();
    const held = await hosts[0].locks.acquire('order:42');
    const next = hosts[1].locks.acquire('order:42', { ttl: '20s' });
    await waiting(1);
    await held.release();
    await using lock = await next;

    expect(lock.fencingToken).toBeGreaterThan(held.fencingToken);
    expect(await redis.client().get(`${key}:fence`)).toBe(`${lock.fencingToken}`);
    expect(await redis.client().get(key)).toMatch(new RegExp(`^${lock.token}`));
    await eventually(async () => {
      expect(await redis.client().pttl(key)).toBeGreaterThan(15_000);
    });
    await eventually(() => {
      expect(lock.remainingMs).toBeGreaterThan(15_000);
    });
  });

  it('lets one in at a time, and loses nobody', async () => {
    let inside = 0;
    let runs = 0;
    const fences: number[] = [];
    await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        hosts[i % 2 ? 1 : 0].locks.withLock('order:42', {}, async (lock) => {
          expect(++inside).toBe(1);
          fences.push(lock.fencingToken);
          if (i % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
          inside--;
          runs++;
        }),
      ),
    );
    expect(runs).toBe(100);
    expect(fences).toEqual([...new Set(fences)].sort((a, b) => a - b));
  }, 60_000);

  it('goes to the next one when a holder dies, as soon as its lease is over', async () => {
    const client = redis.client();
    await client.set(key, `${'d'.repeat(22)}dead-host:1:abcdefgh`, 'PX', 400);
    const startedAt = performance.now();
    await using lock = await hosts[0].locks.acquire('order:42');
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    expect(lock.isHeld).toBe(true);
  });

  it('passes over a waiter whose process is gone, and forgets it after its queue lease', async () => {
    await warmUp();
    const client = redis.client();
    const dead = `${'d'.repeat(22)}dead-host:1:abcdefgh`;
    const held = await hosts[0].locks.acquire('order:42');
    await client.rpush(`${key}:queue`, dead);
    await client.zadd(`${key}:waiters`, Date.now() + 60_000, dead);
    const second = hosts[1].locks.acquire('order:42');
    await waiting(2);
    const releasedAt = performance.now();
    await held.release();
    const lock = await second;
    expect(performance.now() - releasedAt).toBeLessThan(10_000);
    await waiting(1);
    await client.zadd(`${key}:waiters`, 'XX', 1, dead); // Its queue lease is over.
    await waiting(0);
    await lock.release();
    await (await hosts[0].locks.acquire('order:42')).release();
    expect(await client.exists(`${key}:queue`, `${key}:waiters`)).toBe(0);
  });

  it('wakes nobody twice: a waiter that gave up passes the lock on', async () => {
    await warmUp();
    const held = await hosts[0].locks.acquire('order:42');
    const controller = new AbortController();
    const quitter = failureOf(hosts[1].locks.acquire('order:42', { signal: controller.signal }));
    await waiting(1);
    const patient = hosts[1].locks.acquire('order:42');
    await waiting(2);
    // In this order the hand-over and the abort meet.
    const released = held.release();
    controller.abort(new Error('changed my mind'));
    await released;
    await (await patient).release();
    expect((await quitter).message).toBe('changed my mind');
    await eventually(async () => {
      expect(await hosts[0].locks.inspect('order:42')).toBeNull();
    });
  });

  it('does not even ask when the signal has aborted already', async () => {
    await expect(hosts[0].locks.acquire('order:42', { signal: AbortSignal.abort(new Error('no')) })).rejects.toThrow(
      'no',
    );
    expect(await redis.client().exists(key)).toBe(0);
  });

  it('finds the lock by itself when the message was lost', async () => {
    const host = await startHost(redis.connection, { queueLease: 2_400, claimTtl: '5s' });
    const held = await hosts[0].locks.acquire('order:42');
    const next = host.locks.acquire('order:42');
    await waiting(1);
    const lost = await loseWakeUps(redis.client(), key, () => held.release());
    await using lock = await next;
    expect(lost).toBe(true);
    expect(lock.isHeld).toBe(true);
    expect(lock.remainingMs).toBeGreaterThan(20_000);
    await lock.release();
    await host.app.close();
  });

  it('rejects waiters at shutdown and clears their places', async () => {
    const client = redis.client();
    const host = await startHost(redis.connection);
    await using _held = await hosts[0].locks.acquire('order:42');
    const waiter = host.locks.acquire('order:42');
    const failure = failureOf(waiter);
    const state = watch(waiter);
    await waiting(1);
    expect(state.settled).toBe(false);
    await host.app.close();

    const error = await failure;
    expect(error).toBeInstanceOf(LockNotAcquiredError);
    expect(error).toMatchObject({ reason: 'shutdown', response: { status: 503 } });
    expect(await client.exists(`${key}:queue`)).toBe(0);
  });

  it('aborts what is still held at the end of the application', async () => {
    const host = await startHost(redis.connection);
    const lock = await host.locks.acquire('order:42');
    await host.app.close();
    expect(lock.signal.reason).toMatchObject({ code: 'LOCK_LOST', reason: 'shutdown' });
    expect(lock.isHeld).toBe(false);
  });

  // Nest ends global modules last of all, so the connection is closed before this module may use it a last time.
  it('releases what is still held at the end of the application', async () => {
    const host = await startHost(redis.connection);
    await host.locks.acquire('order:42');
    await host.app.close();
    expect(await redis.client().exists(key)).toBe(0);
  });

  it('keeps the order of one host, too', async () => {
    const held = await hosts[0].locks.acquire('order:42');
    const order: number[] = [];
    const all: Promise<Lock>[] = [];
    for (let i = 0; i < 5; i++) {
      const next = hosts[0].locks.acquire('order:42');
      all.push(next);
      void next.then(async (lock) => {
        order.push(i);
        await lock.release();
      });
    }
    await waiting(5);
    await held.release();
    await Promise.all(all);
    await eventually(() => {
      expect(order).toEqual([0, 1, 2, 3, 4]);
    });
  });
});

/** Gives the lock to the head of the queue as a release does, but with a message that reaches only a stranger. */
async function loseWakeUps(
  client: {
    lindex(key: string, index: number): Promise<string | null>;
    set(...args: [string, string, 'PX', number]): Promise<unknown>;
    lrem(key: string, count: number, value: string): Promise<number>;
    zrem(key: string, member: string): Promise<number>;
  },
  key: string,
  release: () => Promise<boolean>,
): Promise<boolean> {
  const head = await client.lindex(`${key}:queue`, 0);
  if (head === null) return false;
  await client.lrem(`${key}:queue`, 1, head);
  await client.zrem(`${key}:waiters`, head);
  await client.set(key, head, 'PX', 5_000);
  return !(await release());
}
