import { OptionsError } from '@redstart/redis-core';
import { LockLostError, LockTimeoutError, LockError } from '../src/index.js';
import { cluster, describeOn, eventually, sentinel, standalone } from '@redstart/redis-testing';
import { failureOf, startHost, type Host } from './support.js';

describeOn(
  standalone,
  sentinel,
  cluster,
)('acquire and release', (redis) => {
  let host: Host;
  let other: Host;
  beforeAll(async () => {
    host = await startHost(redis.connection);
    other = await startHost(redis.connection);
  });
  afterAll(async () => {
    await host.app.close();
    await other.app.close();
  });
  const key = 'shop:lock:{order:42}';

  it('sets the key to the token with the ttl as its expiry, and removes it at release', async () => {
    const client = redis.client();
    const lock = await host.locks.acquire(['order', 42], { ttl: '60s' });

    expect(lock.keys).toEqual([key]);
    expect(await client.get(key)).toMatch(new RegExp(`^${lock.token}`));
    expect(await client.pttl(key)).toBeGreaterThan(50_000);
    expect(lock.remainingMs).toBeGreaterThan(50_000);
    expect(lock.remainingMs).toBeLessThanOrEqual(59_398);
    expect(await lock.release()).toBe(true);
    expect(await client.exists(key)).toBe(0);
    expect(lock.isHeld).toBe(false);
    expect(lock.signal.aborted).toBe(false);
  });

  it('leaves no key without an expiry behind', async () => {
    const client = redis.client();
    const lock = await host.locks.acquire('order:42');
    const waiting = other.locks.acquire('order:42');
    await eventually(() =>
      host.locks.inspect('order:42').then((state) => {
        expect(state?.waiting).toBe(1);
      }),
    );
    for (const part of ['', ':fence', ':queue', ':waiters']) expect(await client.pttl(key + part)).toBeGreaterThan(0);
    await lock.release();
    await (await waiting).release();
    for (const part of ['', ':queue', ':waiters']) expect(await client.exists(key + part)).toBe(0);
  });

  it('gives null to tryAcquire and does not queue it', async () => {
    await using _lock = await host.locks.acquire('order:42');

    expect(await other.locks.tryAcquire('order:42')).toBeNull();
    expect(await redis.client().exists(`${key}:queue`)).toBe(0);
    expect(await other.locks.isLocked('order:42')).toBe(true);
    expect(await other.locks.isLocked('order:43')).toBe(false);
  });

  it('names the holder in the timeout, and leaves the queue', async () => {
    await using _lock = await host.locks.acquire('order:42');
    const error = await failureOf(other.locks.acquire('order:42', { waitTimeout: '150ms' }));

    expect(error).toBeInstanceOf(LockTimeoutError);
    expect(error).toBeInstanceOf(LockError);
    expect(error).toMatchObject({ code: 'LOCK_TIMEOUT', key, holder: { pid: process.pid } });
    expect(error.message).toContain(key);
    const waitedMs = error instanceof LockTimeoutError ? error.waitedMs : NaN;
    expect(waitedMs).toBeGreaterThanOrEqual(150);
    expect(waitedMs).toBeLessThan(10_000); // The default is a minute here.
    await eventually(async () => {
      expect(await redis.client().exists(`${key}:queue`, `${key}:waiters`)).toBe(0);
    });
  });

  it('returns false for a lock that has lapsed, and does not harm the next holder', async () => {
    const lock = await host.locks.acquire('order:42', { ttl: 1_500 });
    await eventually(() =>
      redis
        .client()
        .exists(key)
        .then((held) => held === 0),
    );
    await using next = await other.locks.acquire('order:42');

    expect(await lock.release()).toBe(false);
    expect(await redis.client().get(key)).toMatch(new RegExp(`^${next.token}`));
  });

  it('answers the second release like the first, also at the end of an await using block', async () => {
    const lock = await host.locks.acquire('order:42');
    expect(await lock.release()).toBe(true);
    await using next = await other.locks.acquire('order:42');
    expect(await lock.release()).toBe(true);
    await lock[Symbol.asyncDispose]();
    expect(await redis.client().get(key)).toMatch(new RegExp(`^${next.token}`));
  });

  it('raises the fencing token with every acquisition, also after FLUSHALL', async () => {
    const tokens: number[] = [];
    for (let i = 0; i < 4; i++) {
      const lock = await (i % 2 ? host : other).locks.acquire('order:42');
      tokens.push(lock.fencingToken);
      await lock.release();
      if (i === 1) await redis.flush();
    }
    expect(tokens.every(Number.isSafeInteger)).toBe(true);
    expect(tokens).toEqual([...new Set(tokens)].sort((a, b) => a - b));
  });

  it('goes on from a stored counter that is ahead of the clock', async () => {
    const ahead = Date.now() * 1_000 + 60_000_000;
    await redis.client().set(`${key}:fence`, ahead, 'PX', 60_000);
    await using lock = await host.locks.acquire('order:42');
    expect(lock.fencingToken).toBe(ahead + 1);
  });

  it('extends to a full lease from now, and refuses when the lock is gone', async () => {
    const client = redis.client();
    const lock = await host.locks.acquire('order:42', { ttl: '5s' });
    await lock.extend('60s');
    expect(await client.pttl(key)).toBeGreaterThan(50_000);
    expect(await client.pttl(key)).toBeLessThanOrEqual(60_000);
    expect(lock.remainingMs).toBeGreaterThan(50_000);

    await client.del(key);
    await expect(lock.extend()).rejects.toThrow(LockLostError);
    expect(await client.exists(key)).toBe(0);
    expect(lock.signal.aborted).toBe(true);
    expect(lock.signal.reason).toMatchObject({ code: 'LOCK_LOST', reason: 'taken', key });
    expect(() => {
      lock.assertHeld();
    }).toThrow(LockLostError);
  });

  it('tells who holds a lock and takes it away by force', async () => {
    expect(await host.locks.inspect('order:42')).toBeNull();
    expect(await host.locks.forceRelease('order:42')).toBe(false);
    const lock = await host.locks.acquire('order:42', { ttl: '60s' });

    const state = await other.locks.inspect('order:42');
    expect(state).toMatchObject({ key, holder: { pid: process.pid }, fencingToken: lock.fencingToken, waiting: 0 });
    expect(state?.remainingMs).toBeGreaterThan(50_000);
    expect(state?.remainingMs).toBeLessThanOrEqual(60_000);
    expect(JSON.stringify(state)).not.toContain(lock.token);
    expect(await other.locks.forceRelease('order:42')).toBe(true);
    expect(await lock.release()).toBe(false);
  });

  it('works after SCRIPT FLUSH', async () => {
    const nodes = redis.topology === 'cluster' ? redis.cluster.servers : [redis.server];
    for (const node of nodes) await node.ask((client) => client.script('FLUSH'));
    const lock = await host.locks.acquire('order:42');
    for (const node of nodes) await node.ask((client) => client.script('FLUSH'));
    expect(await lock.release()).toBe(true);
  });

  it.each([
    [{ ttl: 50 }, 'ttl'],
    [{ ttl: '5 minutes' }, 'ttl'],
    [{ waitTimeout: -1 }, 'waitTimeout'],
    [{ retries: 3 }, 'retries'],
    [{ autoExtend: 'yes' }, 'autoExtend'],
    [{ signal: new AbortController() }, 'signal'],
    [{ signal: null }, 'signal'],
  ])('refuses the options %j', async (options, name) => {
    const error = await failureOf(host.locks.acquire('order:42', options as object));
    expect(error).toBeInstanceOf(OptionsError);
    expect(error.message).toContain(name);
    expect(await redis.client().exists(key)).toBe(0);
  });
});
