import { RedisUnavailableError } from '@redstart/redis-core';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import { LockTimeoutError, type LockCallOptions } from '../src/index.js';
import { DrivenHost } from './driven-host.js';
import { deferred, failureOf, startHost, watch, type Host } from './support.js';

const key = 'shop:lock:{order:42}';

/**
 * A waiter that gives up just when the lock is handed to it. The next one is woken by whoever gives up, or by nobody: its own time stands still, and the claim would outlast the test.
 */
describeOn(standalone, cluster)('a waiter that gives up with the lock in its hands', (redis) => {
  let holder: Host;
  let quitter: DrivenHost;
  let next: DrivenHost;
  beforeEach(async () => {
    holder = await startHost(redis.connection, { claimTtl: '1m' });
    quitter = await DrivenHost.start(redis.connection, { claimTtl: '1m' });
    next = await DrivenHost.start(redis.connection, { claimTtl: '1m' });
  });
  afterEach(async () => {
    await next[Symbol.asyncDispose]();
    await quitter[Symbol.asyncDispose]();
    await holder.app.close();
  });

  /** It listens, has its place and has looked since: from here on nothing happens by itself. */
  const asleep = (host: DrivenHost) =>
    eventually(() => {
      expect(host.calls.get('lock.acquire')).toBe(2);
      expect(host.clock.pending).toBe(1);
    });

  /** Both wait, the one that will give up before the other; then the first is handed the lock, and has not been told yet. */
  const handedTo = async (options: LockCallOptions) => {
    const held = await holder.locks.acquire('order:42');
    for (const host of [quitter, next]) host.onCall('lock.acquire', (send) => send());
    const arrived = deferred();
    quitter.hear = () => {
      arrived.resolve();
    };
    const failure = failureOf(quitter.locks.acquire('order:42', options));
    await asleep(quitter);
    const acquired = next.locks.acquire('order:42', { ttl: '20s' });
    await asleep(next);
    const [owner = ''] = await redis.client().lrange(`${key}:queue`, 0, 0);
    expect(await held.release()).toBe(true);
    await arrived.promise;
    expect(await redis.client().get(key)).toBe(owner);
    return { failure, acquired, held, owner };
  };

  /** It is the next one's, by a message alone, and nothing of the first one is left. */
  const isPassedOn = async ({ acquired, held, owner }: Awaited<ReturnType<typeof handedTo>>) => {
    const lock = await acquired;
    expect(next.calls.get('lock.acquire')).toBe(2);
    expect(next.clock.now()).toBe(0);
    expect(lock.isHeld).toBe(true);
    expect(lock.fencingToken).toBeGreaterThan(held.fencingToken);
    const client = redis.client();
    expect(await client.get(key)).toContain(lock.token);
    expect(await client.get(key)).not.toBe(owner);
    expect(await client.exists(`${key}:queue`, `${key}:waiters`)).toBe(0);
    expect(await lock.release()).toBe(true);
  };

  it('passes it on when it is aborted', async () => {
    const controller = new AbortController();
    const handed = await handedTo({ signal: controller.signal });
    controller.abort(new Error('changed my mind'));
    expect((await handed.failure).message).toBe('changed my mind');
    await isPassedOn(handed);
  });

  it('passes it on when its time is over', async () => {
    const handed = await handedTo({ waitTimeout: '10s' });
    quitter.clock.advance(10_000);
    expect(await handed.failure).toBeInstanceOf(LockTimeoutError);
    await isPassedOn(handed);
  });

  it('passes it on when its application shuts down', async () => {
    const handed = await handedTo({});
    await quitter.locks.onModuleDestroy();
    expect(await handed.failure).toMatchObject({ code: 'LOCK_NOT_ACQUIRED', reason: 'shutdown' });
    await isPassedOn(handed);
  });

  it('frees it when nobody else waits', async () => {
    const held = await holder.locks.acquire('order:42');
    const arrived = deferred();
    quitter.hear = () => {
      arrived.resolve();
    };
    const controller = new AbortController();
    quitter.onCall('lock.acquire', (send) => send());
    const failure = failureOf(quitter.locks.acquire('order:42', { signal: controller.signal }));
    await asleep(quitter);
    await held.release();
    await arrived.promise;
    expect(await redis.client().exists(key)).toBe(1);
    controller.abort(new Error('changed my mind'));
    await failure;
    await eventually(async () => (await redis.client().exists(key)) === 0);
  });
});

describeOn(standalone)('a lock that Redis grants to a caller who has long gone', (redis) => {
  it('is given back as soon as Redis goes on, however long it stood still', async () => {
    await using host = await DrivenHost.start(redis.connection);
    const away = new RedisUnavailableError('Redis stands still', 'unknown');
    const atRedis: (() => Promise<unknown>)[] = [];
    let standsStill = true;
    host.onCall('lock.acquire', (send) => {
      if (!standsStill) return send();
      atRedis.push(send);
      return Promise.reject(away);
    });
    host.onCall('lock.give-up', (send) => (standsStill ? Promise.reject(away) : send()));

    const failure = failureOf(host.locks.tryAcquire('order:42', { ttl: '1m' }));
    const state = watch(failure);
    await eventually(() => {
      host.clock.advance(100);
      expect(state.settled).toBe(true);
    });
    expect(await failure).toBeInstanceOf(RedisUnavailableError);
    await eventually(() => {
      host.clock.advance(10_000);
      expect(host.calls.get('lock.give-up')).toBeGreaterThan(30); // For five leases.
    });

    for (const send of atRedis) await send();
    expect(await redis.client().exists(key)).toBe(1);
    standsStill = false;
    await eventually(async () => {
      host.clock.advance(2_000);
      expect(await redis.client().exists(key)).toBe(0);
    });
    expect(host.clock.pending).toBe(0);
  });
});
