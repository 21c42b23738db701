import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { hashSlot, RedisUnavailableError } from '@redstart/redis-core';
import { cluster, commandsDuring, describeOn, eventually, serversOf, standalone } from '@redstart/redis-testing';
import type { Lock } from '../src/index.js';
import { DrivenHost } from './driven-host.js';

/** A lease less the margin for clocks that differ: 1 % and 2 ms. */
const surely = (ttlMs: number) => ttlMs * 0.99 - 2;
/** Long enough that no pause of a busy machine matters beside it. */
const ttl = 600_000;
const period = ttl / 3;
const renewed = { ttl, autoExtend: true } as const;

describeOn(standalone, cluster)('the renewals of readers, permits, writers and mutexes', (redis) => {
  let host: DrivenHost;
  beforeEach(async () => {
    host = await DrivenHost.start(redis.connection);
  });
  afterEach(() => host[Symbol.asyncDispose]());

  const bankOf = (subject: string) => host.locks.semaphore(subject, { permits: 500 });
  /** Every kind of lease on each of these subjects, in its slot. */
  const takeAll = async (...subjects: string[]): Promise<readonly Lock[]> => {
    const all = subjects.map((subject) =>
      Promise.all([
        host.locks.acquire(subject, renewed),
        host.locks.readWrite(subject).read(renewed),
        host.locks.readWrite(subject).read(renewed),
        host.locks.readWrite(`${subject}:rates`).write(renewed),
        bankOf(subject).acquire({ ...renewed, permits: 3 }),
        bankOf(subject).acquire(renewed),
      ]),
    );
    return (await Promise.all(all)).flat();
  };
  const scriptsFor = (locks: readonly Lock[]) =>
    host.connection.cluster ? new Set(locks.flatMap(({ keys }) => keys).map(hashSlot)).size : 1;
  const expectRenewed = (locks: readonly Lock[]) =>
    eventually(() => {
      for (const lock of locks) expect(lock.remainingMs).toBe(surely(ttl));
    });
  const serverMs = async () => {
    const [seconds] = (await serversOf(redis)[0]?.ask((client) => client.time())) ?? [];
    return Number(seconds) * 1_000;
  };
  /** Of every kind, on a subject. */
  const keysOn = (subject: string) => ({
    sets: [`shop:rwlock:{${subject}}:readers`, `shop:semaphore:{${subject}}`],
    keys: [`shop:lock:{${subject}}`, `shop:rwlock:{${subject}:rates}`, `shop:semaphore:{${subject}}:limit`],
  });
  /** As if a good part of every lease had passed in Redis. */
  const shorten = async (subject: string) => {
    const { sets, keys } = keysOn(subject);
    const soon = `${(await serverMs()) + 100_000}`;
    for (const set of sets) {
      for (const member of await redis.client().zrange(set, '0', '-1'))
        await redis.client().zadd(set, 'XX', soon, member);
    }
    for (const key of [...sets, ...keys]) expect(await redis.client().pexpire(key, 100_000)).toBe(1);
  };
  const expectRenewedInRedis = async (subject: string) => {
    const { sets, keys } = keysOn(subject);
    const full = ttl - 100_000;
    for (const set of sets) {
      const members = await redis.client().zcard(set);
      expect(await redis.client().zcount(set, (await serverMs()) + full, '+inf')).toBe(members);
    }
    for (const key of [...sets, ...keys]) expect(await redis.client().pttl(key)).toBeGreaterThan(full);
  };

  it('leave in one script for each slot, whatever their kind, and each has its full lease again', async () => {
    const subjects = ['order:42', 'order:43', 'order:44'];
    const locks = await takeAll(...subjects);
    for (const subject of subjects) await shorten(subject);
    host.clock.advance(period);
    expect(host.calls.get('lock.extend')).toBe(scriptsFor(locks));
    await expectRenewed(locks);
    for (const subject of subjects) await expectRenewedInRedis(subject);

    // The scripts are loaded now, so what the servers count is what is sent.
    const counts = await commandsDuring(serversOf(redis), async () => {
      host.clock.advance(period);
      await expectRenewed(locks);
    });
    expect(counts).toMatchObject({ evalsha: scriptsFor(locks), pexpire: 12, zadd: 12 });
    expect(counts).not.toHaveProperty('eval');
  });

  it('fail one by one: what is over is lost and not taken again, the others go on', async () => {
    const locks = await takeAll('order:42');
    const [mutex, reader, other, writer, three, single] = locks;
    const client = redis.client();
    await client.zadd(
      'shop:rwlock:{order:42}:readers',
      'XX',
      '1',
      ownerIn(reader, await client.zrange('shop:rwlock:{order:42}:readers', '0', '-1')),
    );
    const members = await client.zrange('shop:semaphore:{order:42}', '0', '-1');
    await client.zrem('shop:semaphore:{order:42}', ...members.filter((member) => member.includes(three?.token ?? '')));
    host.clock.advance(period);
    await eventually(() => {
      expect(locks.map(({ isHeld }) => isHeld)).toEqual([true, false, true, true, false, true]);
    });
    await expectRenewed([mutex, other, writer, single].flatMap((lock) => lock ?? []));
    const losses = [reader, three].map((lock) => lock?.signal.reason as unknown);
    for (const loss of losses) expect(loss).toMatchObject({ code: 'LOCK_LOST', reason: 'taken' });
    const left = await client.zrange('shop:semaphore:{order:42}', '0', '-1');
    expect(left).toEqual(members.filter((member) => member.includes(single?.token ?? '')));
  });

  it('fail one by one also where Redis refuses a command, and each failure names its lock', async () => {
    const error = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    const locks = await takeAll('order:42');
    const [mutex, reader, other, writer, ...permits] = locks;
    const readers = 'shop:rwlock:{order:42}:readers';
    await redis.client().del(readers);
    await redis.client().set(readers, 'no set', 'PX', 60_000);
    host.clock.advance(period);
    await expectRenewed([mutex, writer, ...permits].flatMap((lock) => lock ?? []));
    await eventually(() => {
      expect(error).toHaveBeenCalledTimes(2);
    });
    for (const [message] of error.mock.calls) {
      expect(message).toMatch(/^Lock "shop:rwlock:\{order:42\}" was not renewed: lock\.extend: WRONGTYPE/);
    }
    // Nobody can tell, so both are held until their deadline.
    for (const lock of [reader, other]) expect(lock?.remainingMs).toBe(surely(ttl) - period);
    expect(await redis.client().get(readers)).toBe('no set');
    error.mockRestore();
  });

  it('leave the leases of others as they are', async () => {
    const client = redis.client();
    const locks = await takeAll('order:42');
    const foreign = `${(await serverMs()) + 6_000_000}`;
    await client.zadd('shop:rwlock:{order:42}:readers', foreign, 'another');
    await client.zadd('shop:semaphore:{order:42}', foreign, '1 another');
    await client.pexpire('shop:semaphore:{order:42}:limit', 6_000_000);
    host.clock.advance(period);
    await expectRenewed(locks);
    expect(await client.zscore('shop:rwlock:{order:42}:readers', 'another')).toBe(foreign);
    expect(await client.zscore('shop:semaphore:{order:42}', '1 another')).toBe(foreign);
    for (const key of ['rwlock:{order:42}:readers', 'semaphore:{order:42}', 'semaphore:{order:42}:limit']) {
      expect(await client.pttl(`shop:${key}`)).toBeGreaterThan(5_000_000);
    }
  });

  it('count from when they were sent', async () => {
    const locks = await takeAll('order:42');
    host.onCall('lock.extend', async (send) => {
      const answer = await send();
      host.clock.advance(400);
      return answer;
    });
    host.clock.advance(period);
    await eventually(() => {
      // The answer takes 400 ms each, and on a Cluster there are two slots.
      const late = host.connection.cluster ? [400, 800] : [400];
      for (const lock of locks) expect(late).toContain(surely(ttl) - lock.remainingMs);
    });
  });

  it('take no more leases than a script should hold up the server for, each permit being one', async () => {
    const many = await Promise.all([60, 60, 60].map((permits) => bankOf('bank').acquire({ ...renewed, permits })));
    host.clock.advance(period);
    expect(host.calls.get('lock.extend')).toBe(2);
    await expectRenewed(many);
  });

  it('are tried again in the next period after an outage', async () => {
    const locks = await takeAll('order:42');
    let down = true;
    host.onCall('lock.extend', (send) =>
      down ? Promise.reject(new RedisUnavailableError('lock.extend: no answer', 'unknown')) : send(),
    );
    await host.clock.advanceAsync(period);
    expect(host.calls.get('lock.extend')).toBe(scriptsFor(locks));
    for (const lock of locks) expect(lock.remainingMs).toBe(surely(ttl) - period);
    down = false;
    await host.clock.advanceAsync(period);
    await expectRenewed(locks);
  });
});

function ownerIn(lock: Lock | undefined, owners: readonly string[]): string {
  return owners.find((owner) => owner.startsWith(lock?.token ?? '?')) ?? '';
}
