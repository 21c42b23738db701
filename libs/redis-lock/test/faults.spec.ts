import { getRedisConnectionToken, RedisUnavailableError, type RedisConnection } from '@redstart/redis-core';
import { LockLostError, type Lock } from '../src/index.js';
import { eventually, FaultProxy, RedisServer } from '@redstart/redis-testing';
import { DrivenHost } from './driven-host.js';
import { deferred, failureOf, stall, startHost } from './support.js';

const key = 'shop:lock:{order:42}';

describe('faults', () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server.stop());
  beforeEach(() => server.flush());

  it('lost reply to acquire: the same token is recognised, the call does not block on its own key', async () => {
    await using proxy = await FaultProxy.start(server);
    await using host = await startHost({ url: proxy.url });
    await (await host.locks.acquire('warm-up')).release();
    const lost = proxy.dropReply('EVALSHA', { thenReset: true });
    const startedAt = performance.now();
    const lock = await host.locks.acquire('order:42', { ttl: '20s', waitTimeout: '10s' });

    expect(lost.injected).toBe(1);
    expect(performance.now() - startedAt).toBeLessThan(9_000);
    expect(await server.client().get(key)).toMatch(new RegExp(`^${lock.token}`));
    expect(await server.client().get(`${key}:fence`)).toBe(`${lock.fencingToken}`);
    expect(await lock.release()).toBe(true);
  });

  it('lost reply to release: it counts as released', async () => {
    await using proxy = await FaultProxy.start(server);
    await using host = await startHost({ url: proxy.url });
    const lock = await host.locks.acquire('order:42');
    await (await host.locks.acquire('warm-up')).release();
    const lost = proxy.dropReply('EVALSHA', { thenReset: true });
    expect(await lock.release()).toBe(true);
    expect(lost.injected).toBe(1);
    expect(await server.client().exists(key)).toBe(0);
  });

  it('Redis unreachable: acquire rejects typed within two budgets, and leaves nothing behind', async () => {
    await using proxy = await FaultProxy.start(server);
    await using host = await startHost({ url: proxy.url }, { commandTimeout: 200 });
    const hole = proxy.blackhole();
    const startedAt = performance.now();
    const error = await failureOf(host.locks.acquire('order:42', { waitTimeout: '60s' }));
    expect(error).toBeInstanceOf(RedisUnavailableError);
    expect(performance.now() - startedAt).toBeLessThan(15_000); // It would wait for a minute.
    expect(hole.injected).toBeGreaterThan(0);
    hole.stop();
    await eventually(async () => {
      expect(await server.client().exists(key)).toBe(0);
    });
    await eventually(async () => (await host.locks.acquire('order:42')).release(), { within: 30_000 });
  });

  it('renewal hangs: the signal aborts before the lease can lapse, and withLock rejects', async () => {
    await using proxy = await FaultProxy.start(server);
    await using host = await DrivenHost.start({ url: proxy.url });
    const started = deferred<Lock>();
    const failure = failureOf(
      host.locks.withLock('order:42', { ttl: '9s' }, async (lock) => {
        started.resolve(lock);
        await new Promise((resolve) => {
          lock.signal.addEventListener('abort', resolve, { once: true });
        });
        expect(lock.signal.reason).toBeInstanceOf(LockLostError);
        expect(lock.isHeld).toBe(false);
      }),
    );
    const { signal, remainingMs } = await started.promise;
    const hole = proxy.blackhole();
    host.clock.advance(3_000);
    await eventually(() => hole.injected > 0); // The renewal is on its way.
    host.clock.advance(remainingMs - 3_001);
    expect(signal.aborted).toBe(false);
    host.clock.advance(1);
    expect(signal.aborted).toBe(true);
    expect(remainingMs).toBeLessThan(9_000);
    hole.stop();
    expect(await failure).toMatchObject({ code: 'LOCK_LOST', reason: 'deadline' });
  });

  it('event loop stalls past the lease: assertHeld throws at once, the late release harms nobody', async () => {
    await using host = await startHost({ url: server.url });
    const lock = await host.locks.acquire('order:42', { ttl: 1_500, autoExtend: true });
    expect(lock.isHeld).toBe(true);
    stall(1_600);
    // Nothing has run since: no timer, no reply.
    expect(lock.isHeld).toBe(false);
    expect(lock.remainingMs).toBe(0);
    expect(() => {
      lock.assertHeld();
    }).toThrow(LockLostError);
    expect(lock.signal.aborted).toBe(true);
    await using next = await host.locks.acquire('order:42');
    expect(await lock.release()).toBe(false);
    expect(await server.client().get(key)).toMatch(new RegExp(`^${next.token}`));
  });

  it('refuses a call that does not wait at once, while the breaker is open', async () => {
    await using proxy = await FaultProxy.start(server);
    const target = { url: proxy.url, breaker: { failures: 1, openFor: '60s' } } as const;
    await using host = await startHost(target, { commandTimeout: '3s' });
    const connection = host.app.get<RedisConnection>(getRedisConnectionToken());
    const outage = proxy.refuse();
    await eventually(
      async () => {
        await failureOf(host.locks.tryAcquire('order:42'));
        expect(connection.breakerState).toBe('open');
      },
      { within: 12_000 },
    );
    const since = performance.now();
    expect(await failureOf(host.locks.tryAcquire('order:42'))).toMatchObject({ outcome: 'not-executed' });
    // Its budget is three seconds.
    expect(performance.now() - since).toBeLessThan(2_500);
    expect(outage.injected).toBeGreaterThan(0);
    outage.stop();
  });

  it('Redis loses its data: the next renewal finds out, and a higher fencing token follows', async () => {
    await using host = await startHost({ url: server.url });
    let fence = Infinity;
    const started = deferred();
    const failure = failureOf(
      host.locks.withLock('order:42', { ttl: '3s' }, async (lock) => {
        fence = lock.fencingToken;
        started.resolve();
        await new Promise((resolve) => {
          lock.signal.addEventListener('abort', resolve, { once: true });
        });
      }),
    );
    await started.promise;
    await server.flush();
    expect(await failure).toMatchObject({ code: 'LOCK_LOST', reason: 'taken' });
    await using lock = await host.locks.acquire('order:42');
    expect(lock.fencingToken).toBeGreaterThan(fence);
  });

  it('connections reset mid-hold and mid-wait: still held, and the waiter still comes next', async () => {
    await using proxy = await FaultProxy.start(server);
    await using host = await startHost({ url: proxy.url }, { queueLease: '3s' });
    await using direct = await startHost({ url: server.url });
    const held = await direct.locks.acquire('order:42');
    const mine = await host.locks.acquire('mine', { ttl: 2_400, autoExtend: true });
    const waiter = host.locks.acquire('order:42');
    await eventually(async () => {
      expect((await direct.locks.inspect('order:42'))?.waiting).toBe(1);
    });
    await eventually(() => proxy.connections >= 2);
    const reset = proxy.reset();
    expect(reset.injected).toBeGreaterThanOrEqual(2);
    await eventually(() => proxy.connections >= 2);
    await held.release();
    await (await waiter).release();
    const until = performance.now() + 2_500; // Longer than the lease.
    await eventually(() => performance.now() > until);
    expect(mine.isHeld).toBe(true);
    expect(await mine.release()).toBe(true);
  });
});
