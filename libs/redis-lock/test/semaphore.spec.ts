import { OptionsError } from '@redstart/redis-core';
import { cluster, describeOn, eventually, sentinel, standalone } from '@redstart/redis-testing';
import { currentLock, LockError, LockTimeoutError, SemaphoreLimitError, type PermitOptions } from '../src/index.js';
import { failureOf, startHost, watch } from './support.js';
import { twoHosts } from './two-hosts.js';

const main = 'shop:semaphore:{bank}';
const everyKey = ['', ':fence', ':queue', ':waiters', ':limit'].map((part) => main + part);
/** What comes by a timer comes after 10 s: see `twoHosts`. */
const promptMs = 9_000;
const dead = `${'d'.repeat(22)}dead-host:1:abcdefgh`;

describeOn(
  standalone,
  sentinel,
  cluster,
)('a semaphore', (redis) => {
  const hosts = twoHosts(redis);
  const here = (permits = 3) => hosts.here().semaphore('bank', { permits });
  const there = (permits = 3) => hosts.there().semaphore('bank', { permits });
  const waiting = async (count: number, permits = 3) => {
    await eventually(async () => {
      expect((await here(permits).inspect()).waiting).toBe(count);
    });
  };
  const ttls = () => Promise.all(everyKey.map((key) => redis.client().pttl(key)));
  /** Both processes listen already, as after the first contention. */
  const warmUp = async (permits = 3) => {
    const held = await here(permits).acquire({ permits });
    const next = [here(permits), there(permits)].map(async (semaphore) => (await semaphore.acquire()).release());
    await waiting(2, permits);
    await held.release();
    await Promise.all(next);
  };

  it('gives out as many permits as there are, and takes them back', async () => {
    const permits = [await here().acquire(), await there().acquire(), await here().acquire({ label: 'import' })];
    expect(await there().tryAcquire()).toBeNull();
    expect(await there().inspect()).toEqual({ key: main, permits: 3, available: 0, waiting: 0 });
    expect(permits.map(({ keys }) => keys)).toEqual([[main], [main], [main]]);
    const fences = permits.map(({ fencingToken }) => fencingToken);
    expect(fences).toEqual([...new Set(fences)].sort((a, b) => a - b));

    expect(await permits[1]?.release()).toBe(true);
    expect(await permits[1]?.release()).toBe(true);
    expect(await here().available()).toBe(1);
    await using again = await there().acquire();
    expect(again.isHeld).toBe(true);
    for (const permit of permits) await permit.release();
    // Others of the same name.
    await (await hosts.here().acquire('bank')).release();
    await (await hosts.here().readWrite('bank').write()).release();
  });

  it('never has more of them out than there are, and serves everybody', async () => {
    let out = 0;
    let most = 0;
    let runs = 0;
    await Promise.all(
      Array.from({ length: 60 }, async (_, at) => {
        const count = (at % 3) + 1;
        await (at % 2 === 0 ? here() : there()).withPermit({ permits: count }, async () => {
          out += count;
          most = Math.max(most, out);
          if (at % 5 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
          out -= count;
          runs++;
        });
      }),
    );
    expect([runs, most]).toEqual([60, 3]);
    expect(await here().inspect()).toMatchObject({ available: 3, waiting: 0 });
  });

  it('serves in the order in which all came, also who wants several, each woken by a release', async () => {
    await warmUp();
    const held = [await here().acquire(), await here().acquire(), await there().acquire()];
    const order: number[] = [];
    const underWay: Promise<void>[] = [];
    for (const [at, count] of [2, 1, 3, 1].entries()) {
      const options: PermitOptions = { permits: count };
      const served = (at % 2 === 0 ? here() : there()).acquire(options).then(async (permit) => {
        order.push(at);
        await permit.release();
      });
      underWay.push(served);
      await waiting(at + 1);
    }
    const releasedAt = performance.now();
    await held[0]?.release();
    // One is free, but the first in the queue wants two, and nobody passes it.
    expect(await here().inspect()).toMatchObject({ available: 1, waiting: 4 });
    expect(await there().tryAcquire()).toBeNull();
    for (const permit of held.slice(1)) await permit.release();
    await Promise.all(underWay);
    expect(order).toEqual([0, 1, 2, 3]);
    expect(performance.now() - releasedAt).toBeLessThan(promptMs);
  });

  it('serves those behind one that gives up, which kept them waiting', async () => {
    await warmUp();
    await using _two = await here().acquire({ permits: 2 });
    const controller = new AbortController();
    const first = failureOf(there().acquire({ permits: 3, signal: controller.signal }));
    await waiting(1);
    const second = here().acquire();
    const state = watch(second);
    await waiting(2);
    expect(state.settled).toBe(false);
    const abortedAt = performance.now();
    controller.abort(new Error('changed my mind'));
    await using _permit = await second;
    expect(performance.now() - abortedAt).toBeLessThan(promptMs);
    expect((await first).message).toBe('changed my mind');
  });

  it('does not shorten a lease by another one', async () => {
    const leases = async () => {
      const list = await redis.client().zrange(main, '0', '-1', 'WITHSCORES');
      return new Map(list.flatMap((text, at) => (at % 2 === 0 ? [[text.slice(2, 24), Number(list[at + 1])]] : [])));
    };
    const expiry = () => redis.client().pexpiretime(main);
    await (await here().acquire({ ttl: '1s' })).release();
    await using long = await here().acquire({ ttl: '60s' });
    const before = await leases();
    await using short = await there().acquire({ ttl: 1_500, permits: 2 });
    expect((await leases()).get(long.token)).toBe(before.get(long.token));
    expect(await expiry()).toBe(before.get(long.token));
    expect(await redis.client().pttl(`${main}:limit`)).toBeGreaterThan(50_000);
    expect(await failureOf(here().acquire({ permits: 3, waitTimeout: 100 }))).toBeInstanceOf(LockTimeoutError);
    // The two come back when their lease is over, and only those.
    const startedAt = performance.now();
    await using next = await here().acquire({ permits: 2, ttl: '20s' });
    expect(performance.now() - startedAt).toBeLessThan(promptMs);
    expect(short.isHeld).toBe(false);
    expect(await short.release()).toBe(false);
    expect(await there().tryAcquire()).toBeNull();
    await next.extend('90s');
    expect(await expiry()).toBe((await leases()).get(next.token));
    await next.release();
    expect(await expiry()).toBe(before.get(long.token));
  });

  it('refuses a caller that has another number of permits, as long as it is in use', async () => {
    const permit = await here().acquire();
    const refusal = await failureOf(there(5).acquire());
    expect(refusal).toBeInstanceOf(SemaphoreLimitError);
    expect(refusal).toBeInstanceOf(LockError);
    expect(refusal).toMatchObject({ code: 'SEMAPHORE_LIMIT', key: main, permits: 5, inUse: 3 });
    expect(refusal.message).toMatch(/with 5 permits, but is in use with 3.*once no permit is out and nobody waits/);
    expect(await failureOf(there(5).tryAcquire())).toBeInstanceOf(SemaphoreLimitError);
    expect(await failureOf(there(5).available())).toBeInstanceOf(SemaphoreLimitError);
    expect(await here().inspect()).toMatchObject({ available: 2, waiting: 0 });
    await permit.release();

    // Somebody waits who is not there at the moment.
    const client = redis.client();
    await client.rpush(`${main}:queue`, `1 ${dead}`);
    await client.zadd(`${main}:waiters`, Date.now() + 60_000, `1 ${dead}`);
    expect(await failureOf(there(5).acquire())).toBeInstanceOf(SemaphoreLimitError);
    await client.zadd(`${main}:waiters`, 1, `1 ${dead}`);

    await using five = await there(5).acquire({ permits: 5 });
    expect(five.isHeld).toBe(true);
    expect(await failureOf(here().acquire())).toMatchObject({ permits: 3, inUse: 5 });
  });

  it('leaves no key without an expiry, and none of what is over but the token and the limit', async () => {
    await using _permit = await here().acquire({ permits: 3, ttl: '5s' });
    const next = there().acquire({ permits: 2 });
    await waiting(1);
    for (const ttl of await ttls()) expect(ttl).toBeGreaterThan(0);
    // The limit is in force for as long as anybody may wait for it: two queue leases.
    expect((await ttls())[4]).toBeGreaterThan(50_000);
    await _permit.release();
    await (await next).release();
    expect((await ttls()).map((ttl) => ttl > 0)).toEqual([false, true, false, false, true]);
  });

  it('gets permits back from a holder that died when their lease is over', async () => {
    const client = redis.client();
    await client.zadd(main, Date.now() + 400, `1 ${dead}`, Date.now() + 400, `2 ${dead}`);
    await client.pexpire(main, 60_000);
    const startedAt = performance.now();
    await using permit = await here(2).acquire({ permits: 2 });
    expect(permit.isHeld).toBe(true);
    expect(performance.now() - startedAt).toBeLessThan(promptMs);
  });

  it('passes over a waiter that is gone, and waits for one it can not serve for no longer than its place', async () => {
    await warmUp(2);
    const client = redis.client();
    const held = await here(2).acquire({ permits: 2 });
    const queueDead = async (entry: string, aliveMs: number) => {
      await client.lpush(`${main}:queue`, entry);
      await client.zadd(`${main}:waiters`, Date.now() + aliveMs, entry);
      for (const part of [':queue', ':waiters']) await client.pexpire(main + part, 60_000);
    };
    await queueDead(`2 ${dead}`, 60_000);
    const next = there(2).acquire();
    await waiting(2, 2);
    const releasedAt = performance.now();
    await held.release();
    await using one = await next;
    expect(performance.now() - releasedAt).toBeLessThan(promptMs);
    expect(one.isHeld).toBe(true);
    await client.del(`${main}:queue`, `${main}:waiters`);

    await queueDead(`2 ${dead}`, 600);
    const startedAt = performance.now();
    await using second = await here(2).acquire();
    expect(second.isHeld).toBe(true);
    expect(performance.now() - startedAt).toBeLessThan(promptMs);
  });

  it('takes the options of a mutex, and how many', async () => {
    const client = redis.client();
    const kept = await here().acquire({ permits: 3, minHold: '30s', ttl: '60s' });
    expect(await kept.release()).toBe(true);
    expect(await here().available()).toBe(0);
    expect(await client.pttl(main)).toBeGreaterThan(20_000);
    expect(await client.pttl(main)).toBeLessThanOrEqual(30_000);
    await client.del(main);

    const overlong = failureOf(
      here().withPermit({ ttl: '10s', maxHold: 200 }, async (permit) => {
        await new Promise((resolve) => {
          permit.signal.addEventListener('abort', resolve, { once: true });
        });
      }),
    );
    expect(await overlong).toMatchObject({ code: 'LOCK_LOST', reason: 'max-hold' });
    await here().withPermit({ ttl: 2_400, label: 'batch' }, async (permit) => {
      expect(currentLock()).toBe(permit);
      const until = performance.now() + 2_700;
      await eventually(() => performance.now() > until);
      permit.assertHeld();
    });
    for (const wrong of [0, 4, 1.5]) {
      expect((await failureOf(here().acquire({ permits: wrong }))).message).toContain('acquire(options).permits');
    }
    expect((await failureOf(here(5_000).acquire({ permits: 1_001 }))).message).toContain('an integer from 1 to 1000');
    await (await here(5_000).acquire({ permits: 1_000 })).release();
    expect(() => here(0)).toThrow(OptionsError);
    expect(() => hosts.here().semaphore('bank', Object.assign({ permits: 1 }, { limit: 2 }))).toThrow('limit');
    expect(await here(5_000).inspect()).toMatchObject({ available: 5_000 });
  });

  it('refuses waiters at shutdown, and takes back what is out', async () => {
    const host = await startHost(redis.connection);
    const semaphore = host.locks.semaphore('bank', { permits: 3 });
    const permit = await semaphore.acquire({ permits: 2 });
    const refused = failureOf(semaphore.acquire({ permits: 2 }));
    await waiting(1);
    await host.app.close();
    expect(await refused).toMatchObject({ code: 'LOCK_NOT_ACQUIRED', reason: 'shutdown' });
    expect(permit.signal.reason).toMatchObject({ code: 'LOCK_LOST', reason: 'shutdown' });
    expect(await here().inspect()).toMatchObject({ available: 3, waiting: 0 });
  });
});
