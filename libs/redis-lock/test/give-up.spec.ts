import { RedisUnavailableError, type RedisClient } from '@redstart/redis-core';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import { LockTimeoutError, type Lock, type LockCallOptions, type LockService } from '../src/index.js';
import { DrivenHost } from './driven-host.js';
import { deferred, failureOf, startHost, watch, type Host } from './support.js';

const key = 'shop:lock:{order:42}';

/** What can be waited for by itself, one after the other. */
interface Kind {
  readonly title: string;
  readonly operation: string;
  /** What begins all its keys. */
  readonly key: string;
  take(locks: LockService, options?: LockCallOptions): Promise<Lock>;
  /** Who has it, as Redis knows. */
  owner(client: RedisClient): Promise<string>;
}

const kinds: readonly Kind[] = [
  {
    title: 'a lock',
    operation: 'lock.acquire',
    key,
    take: (locks, options) => locks.acquire('order:42', options),
    owner: async (client) => (await client.get(key)) ?? '',
  },
  {
    title: 'the write side of a read/write lock',
    operation: 'lock.acquire-write',
    key: 'shop:rwlock:{order:42}',
    take: (locks, options) => locks.readWrite('order:42').write(options),
    owner: async (client) => (await client.get('shop:rwlock:{order:42}')) ?? '',
  },
  {
    title: 'a permit',
    operation: 'lock.acquire-permits',
    key: 'shop:semaphore:{order:42}',
    take: (locks, options) => locks.semaphore('order:42', { permits: 1 }).acquire(options),
    owner: async (client) => (await client.zrange('shop:semaphore:{order:42}', '0', '0')).join(),
  },
];

/**
 * A waiter that gives up just when what it waits for is handed to it. The next one is woken by whoever gives up, or by nobody: its own time stands still, and the claim
 * would outlast the test.
 */
describeOn(standalone, cluster)('a waiter that gives up', (redis) => {
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
  const asleep = (host: DrivenHost, operation: string) =>
    eventually(() => {
      expect(host.calls.get(operation)).toBe(2);
      expect(host.clock.pending).toBe(1);
    });

  /** Resolves when the quitter has been sent its message, which it will not hear. */
  const deafen = () => {
    const arrived = deferred();
    quitter.hear = () => {
      arrived.resolve();
    };
    return arrived.promise;
  };

  describe.each(kinds)('with $title in its hands', ({ take, operation, owner: ownerOf, key: all }) => {
    const queue = () => redis.client().lrange(`${all}:queue`, 0, -1);

    /** Both wait, the one that will give up before the other; then the first is handed it, and has not been told yet. */
    const handedTo = async (options: LockCallOptions) => {
      const held = await take(holder.locks);
      for (const host of [quitter, next]) host.onCall(operation, (send) => send());
      const arrived = deafen();
      const failure = failureOf(take(quitter.locks, options));
      await asleep(quitter, operation);
      const acquired = take(next.locks, { ttl: '20s' });
      await asleep(next, operation);
      const [first = ''] = await queue();
      expect(await held.release()).toBe(true);
      await arrived;
      const owner = await ownerOf(redis.client());
      expect(first).toContain(owner.split(' ').at(-1));
      return { failure, acquired, held, owner };
    };

    /** It is the next one's, by a message alone, and nothing of the first one is left. */
    const isPassedOn = async ({ acquired, held, owner }: Awaited<ReturnType<typeof handedTo>>) => {
      const lock = await acquired;
      expect(next.calls.get(operation)).toBe(2);
      expect(next.clock.now()).toBe(0);
      expect(lock.isHeld).toBe(true);
      expect(lock.fencingToken).toBeGreaterThan(held.fencingToken);
      const client = redis.client();
      expect(await ownerOf(client)).toContain(lock.token);
      expect(await ownerOf(client)).not.toBe(owner);
      expect(await client.exists(`${all}:queue`, `${all}:waiters`)).toBe(0);
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
      const held = await take(holder.locks);
      const arrived = deafen();
      const controller = new AbortController();
      quitter.onCall(operation, (send) => send());
      const failure = failureOf(take(quitter.locks, { signal: controller.signal }));
      await asleep(quitter, operation);
      await held.release();
      await arrived;
      expect(await redis.client().exists(all)).toBe(1);
      controller.abort(new Error('changed my mind'));
      await failure;
      await eventually(async () => {
        expect(await redis.client().exists(all)).toBe(0);
      });
    });
  });

  it('as a reader that has been let in makes way for the writer who came meanwhile', async () => {
    const held = await holder.locks.readWrite('order:42').write();
    for (const host of [quitter, next]) {
      host.onCall('lock.acquire-read', (send) => send());
      host.onCall('lock.acquire-write', (send) => send());
    }
    const arrived = deafen();
    const controller = new AbortController();
    const failure = failureOf(quitter.locks.readWrite('order:42').read({ signal: controller.signal }));
    await asleep(quitter, 'lock.acquire-read');
    await held.release();
    await arrived;
    const writing = next.locks.readWrite('order:42').write();
    await asleep(next, 'lock.acquire-write');
    controller.abort(new Error('changed my mind'));
    expect((await failure).message).toBe('changed my mind');
    const lock = await writing;
    expect(next.calls.get('lock.acquire-write')).toBe(2);
    expect(lock.fencingToken).toBeGreaterThan(held.fencingToken);
    expect(await redis.client().exists('shop:rwlock:{order:42}:readers')).toBe(0);
    expect(await lock.release()).toBe(true);
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
