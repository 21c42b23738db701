import { currentLock, LockLostError } from '../src/index.js';
import { cluster, describeOn, eventually, sentinel, standalone, FaultProxy } from '@redstart/redis-testing';
import { failureOf, startHost, type Host } from './support.js';

describeOn(
  standalone,
  sentinel,
  cluster,
)('withLock', (redis) => {
  let host: Host;
  beforeAll(async () => {
    host = await startHost(redis.connection);
  });
  afterAll(() => host.app.close());
  const key = 'shop:lock:{order:42}';

  it('returns what the work returned and releases', async () => {
    await expect(host.locks.withLock('order:42', {}, () => Promise.resolve(7))).resolves.toBe(7);
    expect(await redis.client().exists(key)).toBe(0);
  });

  it('renews itself for longer than the ttl', async () => {
    const until = performance.now() + 2_700;
    await host.locks.withLock('order:42', { ttl: 2_400 }, async (lock) => {
      await eventually(() => performance.now() > until);
      lock.assertHeld();
      expect(await redis.client().get(key)).toMatch(new RegExp(`^${lock.token}`));
    });
  });

  it('passes on what the work threw, and releases', async () => {
    const failure = new Error('no money');
    await expect(host.locks.withLock('order:42', {}, () => Promise.reject(failure))).rejects.toBe(failure);
    expect(await redis.client().exists(key)).toBe(0);
  });

  it('prefers what the work threw to a lost lock, unless it only stopped for that', async () => {
    const failure = new Error('no money');
    const lose = async () => {
      await redis.client().del(key);
    };
    const business = host.locks.withLock('order:42', {}, async (lock) => {
      await lose();
      await lock.extend().catch(() => undefined);
      throw failure;
    });
    await expect(business).rejects.toBe(failure);
    const stopped = host.locks.withLock('order:42', {}, async (lock) => {
      await lose();
      await lock.extend().catch(() => undefined);
      throw new DOMException('stopped', 'AbortError');
    });
    expect(await failureOf(stopped)).toMatchObject({ code: 'LOCK_LOST', cause: { name: 'AbortError' } });
  });

  it('rejects when the lock turns out to be gone at the end', async () => {
    const work = host.locks.withLock('order:42', {}, async () => {
      await redis.client().del(key);
    });
    await expect(work).rejects.toThrow(LockLostError);
  });

  // A proxy stands before one server.
  if (redis.topology === 'standalone') {
    it('keeps the result when only the release fails for an outage', async () => {
      await using proxy = await FaultProxy.start(redis.server);
      await using other = await startHost({ url: proxy.url }, { commandTimeout: '1s' });
      let hole: { injected: number; stop(): void } | undefined;
      await expect(
        other.locks.withLock('order:42', {}, () => {
          hole = proxy.blackhole();
          return Promise.resolve('done');
        }),
      ).resolves.toBe('done');
      expect(hole?.injected).toBeGreaterThan(0);
      hole?.stop();
    });
  }

  it('knows the current lock across awaits, the innermost one, and none after the release', async () => {
    expect(currentLock()).toBeUndefined();
    let left: Promise<unknown> = Promise.resolve();
    await host.locks.withLock('outer', {}, async (outer) => {
      await Promise.resolve();
      expect(currentLock()).toBe(outer);
      await host.locks.withLock('inner', {}, (inner) => {
        expect(currentLock()).toBe(inner);
        return Promise.resolve();
      });
      expect(currentLock()).toBe(outer);
      left = eventually(() => currentLock() === undefined);
    });
    await left;
    expect(currentLock()).toBeUndefined();
  });
});
