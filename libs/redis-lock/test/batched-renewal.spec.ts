import { hashSlot, RedisUnavailableError } from '@redstart/redis-core';
import { cluster, describeOn, eventually, sentinel, standalone } from '@redstart/redis-testing';
import { DrivenHost } from './driven-host.js';

/** A lease less the margin for clocks that differ: 1 % and 2 ms. */
const surely = (ttlMs: number) => ttlMs * 0.99 - 2;

describeOn(
  standalone,
  sentinel,
  cluster,
)('the renewals of a process', (redis) => {
  let host: DrivenHost;
  beforeEach(async () => {
    host = await DrivenHost.start(redis.connection);
  });
  afterEach(() => host[Symbol.asyncDispose]());

  const take = (count: number, ttl: number) =>
    Promise.all(Array.from({ length: count }, (_, i) => host.locks.acquire(['job', i], { ttl, autoExtend: true })));
  const scriptsFor = (keys: readonly string[], largest = 100) => {
    if (!host.connection.cluster) return Math.ceil(keys.length / largest);
    return new Set(keys.map(hashSlot)).size;
  };

  it('leave in one script for each slot, and each lock has its full lease again', async () => {
    const locks = await take(150, 90_000);
    const keys = locks.flatMap((lock) => lock.keys);
    const some = keys.slice(0, 5);
    for (const key of some) await redis.client().pexpire(key, 40_000); // As if time had passed in Redis, too.
    host.clock.advance(30_000);
    expect(host.calls.get('lock.extend')).toBe(scriptsFor(keys));
    await eventually(() => {
      for (const lock of locks) expect(lock.remainingMs).toBe(surely(90_000));
    });
    for (const key of some) expect(await redis.client().pttl(key)).toBeGreaterThan(50_000);
  });

  it('of another ttl leave by themselves, since their budget is another', async () => {
    const [short] = await take(1, 30_000);
    const long = await host.locks.acquire('long', { ttl: '90s', autoExtend: true });
    host.clock.advance(10_000);
    expect(host.calls.get('lock.extend')).toBe(1);
    await eventually(() => {
      expect(short?.remainingMs).toBe(surely(30_000));
    });
    expect(long.remainingMs).toBe(surely(90_000) - 10_000);
  });

  it('fail one by one: what was taken away is lost, the others go on', async () => {
    const locks = await take(10, 90_000);
    const [first, second] = locks;
    await redis.client().set(first?.keys[0] ?? '', 'another', 'PX', 600_000);
    await redis.client().del(second?.keys[0] ?? '');
    host.clock.advance(30_000);
    await eventually(() => {
      expect(locks.map((lock) => lock.isHeld)).toEqual([false, false, ...Array<boolean>(8).fill(true)]);
      // On a Cluster they are answered one by one.
      for (const lock of locks.slice(2)) expect(lock.remainingMs).toBe(surely(90_000));
    });
    expect(await redis.client().get(first?.keys[0] ?? '')).toBe('another');
    expect(await redis.client().exists(second?.keys[0] ?? '')).toBe(0);
  });

  it('of several locks at once hold or fall together, whatever slots they live in', async () => {
    const pair = await host.locks.acquire([['a'], ['b']], { ttl: '90s', autoExtend: true });
    const single = await host.locks.acquire('c', { ttl: '90s', autoExtend: true });
    host.clock.advance(30_000);
    expect(host.calls.get('lock.extend')).toBe(scriptsFor([...pair.keys, ...single.keys]));
    await eventually(() => {
      expect(pair.remainingMs).toBe(surely(90_000));
    });
    await redis.client().del('shop:lock:{b}');
    host.clock.advance(30_000);
    await eventually(() => {
      expect(pair.isHeld).toBe(false);
    });
    expect(single.isHeld).toBe(true);
  });

  it('are sent also while the breaker refuses everything else, or a lock would be lost with Redis there', async () => {
    await using refused = await DrivenHost.start({ ...redis.connection, breaker: { failures: 1, openFor: '10m' } });
    const { connection, clock, locks } = refused;
    const lock = await locks.acquire('job', { ttl: '90s', autoExtend: true });
    const call = { library: 'test', operation: 'outage', budgetMs: 1 };
    await connection.call(call, () => new Promise(() => undefined)).catch(() => undefined);
    expect(connection.breakerState).toBe('open');
    clock.advance(30_000);
    await eventually(() => {
      expect(lock.remainingMs).toBe(surely(90_000));
    });
    // Whoever waits for an answer is not to wait for long.
    await expect(lock.extend()).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE', outcome: 'not-executed' });
    await expect(locks.tryAcquire('another')).rejects.toBeInstanceOf(RedisUnavailableError);
  });

  it('are tried again in the next period after an outage', async () => {
    const locks = await take(3, 90_000);
    let down = true;
    host.onCall('lock.extend', (send) =>
      down ? Promise.reject(new RedisUnavailableError('lock.extend: no answer', 'unknown')) : send(),
    );
    await host.clock.advanceAsync(30_000);
    expect(host.calls.get('lock.extend')).toBeGreaterThan(0);
    for (const lock of locks) expect(lock.remainingMs).toBe(surely(90_000) - 30_000);
    down = false;
    await host.clock.advanceAsync(30_000);
    await eventually(() => {
      for (const lock of locks) expect(lock.remainingMs).toBe(surely(90_000));
    });
  });
});
