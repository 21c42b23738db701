import { OptionsError } from '@redstart/redis-core';
import { cluster, describeOn, eventually, sentinel, standalone } from '@redstart/redis-testing';
import { LockTimeoutError } from '../src/index.js';
import { deferred, failureOf, startHost } from './support.js';
import { pricesOf, twoHosts } from './two-hosts.js';

const main = 'shop:rwlock:{prices}';
const everyKey = ['', ':fence', ':queue', ':waiters', ':readers', ':waiting-readers'].map((part) => main + part);
/** What comes by a timer comes after 10 s: see `twoHosts`. */
const promptMs = 9_000;
const dead = `${'d'.repeat(22)}dead-host:1:abcdefgh`;

describeOn(
  standalone,
  sentinel,
  cluster,
)('a read/write lock', (redis) => {
  const hosts = twoHosts(redis);
  const { here, there, waiting, warmUp } = pricesOf(hosts);
  const ttls = () => Promise.all(everyKey.map((key) => redis.client().pttl(key)));

  it('has many readers, or one writer', async () => {
    const readers = [await here().read(), await here().read(), await there().read()];
    expect(await here().inspect()).toMatchObject({ writer: undefined, readers: 3 });
    expect(await there().tryWrite()).toBeNull();
    for (const reader of readers) expect(await reader.release()).toBe(true);

    await using writer = await there().write({ label: 'import' });
    expect(writer.keys).toEqual([main]);
    expect(await here().inspect()).toMatchObject({ key: main, writer: { label: 'import' }, readers: 0 });
    expect(await here().tryRead()).toBeNull();
    expect(await here().tryWrite()).toBeNull();
    expect((await failureOf(here().read({ waitTimeout: 100 }))).message).toContain('"import" on');
    // Another lock, although it has the same name.
    await (await hosts.here().acquire('prices')).release();
  });

  it('names the reader with the longest lease to a writer that waits in vain', async () => {
    const readers = [
      await here().read({ ttl: '20s', label: 'brief' }),
      await there().read({ ttl: '10m', label: 'long' }),
      await here().read({ ttl: '20s', label: 'late' }),
    ];
    expect((await failureOf(there().write({ waitTimeout: 100 }))).message).toContain('"long" on');
    for (const reader of readers) await reader.release();
  });

  it('gives tokens of both sides that rise together', async () => {
    const fences: number[] = [];
    for (const take of [() => here().read(), () => there().write(), () => there().read(), () => here().write()]) {
      const lock = await take();
      fences.push(lock.fencingToken);
      await lock.release();
    }
    expect(fences).toEqual([...new Set(fences)].sort((a, b) => a - b));
  });

  it('never has a writer beside anybody, and serves everybody but those who give up', async () => {
    let readers = 0;
    let mostReaders = 0;
    let writers = 0;
    let ran = 0;
    const quitters: string[] = [];
    const pause = () => new Promise((resolve) => setTimeout(resolve, 1));
    await Promise.all(
      Array.from({ length: 100 }, async (_, at) => {
        const lock = at % 2 === 0 ? here() : there();
        if (at % 10 === 9) {
          const impatient = lock[at % 20 === 9 ? 'withRead' : 'withWrite']({ waitTimeout: 20 }, pause);
          await impatient.catch((error: unknown) => quitters.push(String(error)));
        } else if (at % 3 === 0) {
          await lock.withWrite({}, async (writer) => {
            expect([++writers, readers]).toEqual([1, 0]);
            await pause();
            writers--;
            readers++; // It goes on as one.
            await writer.downgrade();
            readers--;
            ran++;
          });
        } else {
          await lock.withRead({}, async () => {
            mostReaders = Math.max(mostReaders, ++readers);
            expect(writers).toBe(0);
            await pause();
            readers--;
            ran++;
          });
        }
      }),
    );
    expect(ran).toBe(90);
    expect(mostReaders).toBeGreaterThan(1);
    for (const reason of quitters) expect(reason).toContain('LockTimeoutError');
    await eventually(async () => {
      const left = { writer: undefined, readers: 0, waitingWriters: 0, waitingReaders: 0 };
      expect(await here().inspect()).toMatchObject(left);
    });
  });

  it('keeps new readers out while a writer waits, and lets them in all at once when no writer is left', async () => {
    await warmUp();
    const reader = await here().read();
    const order: string[] = [];
    const writers = [there(), here(), there()].map((lock, at) => async () => {
      await using _ = await lock.write();
      order.push(`writer ${at}`);
      expect((await lock.inspect()).readers).toBe(0);
    });
    const underWay: Promise<void>[] = [];
    for (const [at, write] of writers.entries()) {
      underWay.push(write());
      await waiting(at + 1, 0);
    }
    expect(await there().tryRead()).toBeNull();
    const allIn = deferred();
    let inside = 0;
    const readers = Array.from({ length: 6 }, async (_, at) => {
      await using _lock = await (at % 2 === 0 ? here() : there()).read();
      order.push('reader');
      if (++inside === 6) allIn.resolve();
      await allIn.promise;
    });
    await waiting(3, 6);
    const releasedAt = performance.now();
    await reader.release();
    await Promise.all([...underWay, ...readers]);

    expect(order).toEqual(['writer 0', 'writer 1', 'writer 2', ...Array.from({ length: 6 }, () => 'reader')]);
    expect(performance.now() - releasedAt).toBeLessThan(promptMs);
  });

  it('lets readers in that a writer kept waiting, as soon as that gives up', async () => {
    await warmUp();
    await using _reader = await here().read();
    const controller = new AbortController();
    const writer = failureOf(there().write({ signal: controller.signal }));
    await waiting(1, 0);
    const next = here().read();
    await waiting(1, 1);
    const abortedAt = performance.now();
    controller.abort(new Error('changed my mind'));
    await using reader = await next;
    expect(performance.now() - abortedAt).toBeLessThan(promptMs);
    expect(reader.isHeld).toBe(true);
    expect((await writer).message).toBe('changed my mind');
  });

  it('leaves no key without an expiry, and none of what is over', async () => {
    const reader = await here().read();
    const writer = there().write();
    await waiting(1, 0);
    const next = there().read();
    await waiting(1, 1);
    for (const ttl of await ttls()) expect(ttl).not.toBe(-1);
    await reader.release();
    await (await writer).release();
    await (await next).release();
    await waiting(0, 0);
    expect((await ttls()).map((ttl) => ttl > 0)).toEqual([false, true, false, false, false, false]);
  });

  describe('whose holders have leases of their own', () => {
    it('does not shorten one by another', async () => {
      await using long = await here().read({ ttl: '60s' });
      await using short = await there().read({ ttl: '10s' });
      const leases = () => redis.client().zrange(`${main}:readers`, '0', '-1', 'WITHSCORES');
      const [, shortEnd, longOwner, longEnd] = await leases();
      expect(longOwner).toContain(long.token);
      expect(await redis.client().pexpiretime(`${main}:readers`)).toBe(Number(longEnd));
      await short.extend('20s');
      const [shortOwner, later, , same] = await leases();
      expect(shortOwner).toContain(short.token);
      expect(Number(later)).toBeGreaterThan(Number(shortEnd) + 5_000);
      expect(same).toBe(longEnd);
      expect(await redis.client().pexpiretime(`${main}:readers`)).toBe(Number(longEnd));
      await long.extend('5s');
      expect(await redis.client().pexpiretime(`${main}:readers`)).toBe(Number(later));
      await long.release();
      expect(await redis.client().pexpiretime(`${main}:readers`)).toBe(Number(later));
    });

    it('does not wait for a reader that died longer than its lease', async () => {
      const client = redis.client();
      await client.zadd(`${main}:readers`, Date.now() + 400, dead);
      await client.pexpire(`${main}:readers`, 60_000);
      const startedAt = performance.now();
      await using writer = await here().write();
      expect(writer.isHeld).toBe(true);
      expect(performance.now() - startedAt).toBeLessThan(promptMs);
    });

    it('does not wait for a writer that died longer than its lease, and then lets all readers in', async () => {
      await redis.client().set(main, dead, 'PX', 400);
      const startedAt = performance.now();
      const readers = await Promise.all([here().read(), there().read(), here().read()]);
      expect(performance.now() - startedAt).toBeLessThan(promptMs);
      for (const reader of readers) await reader.release();
    });

    it('is not kept by a waiting writer that died for longer than its place', async () => {
      await using _reader = await here().read();
      const client = redis.client();
      await client.rpush(`${main}:queue`, dead);
      await client.zadd(`${main}:waiters`, Date.now() + 500, dead);
      await client.pexpire(`${main}:queue`, 60_000);
      await client.pexpire(`${main}:waiters`, 60_000);
      expect(await there().tryRead()).toBeNull();
      const startedAt = performance.now();
      await using reader = await there().read();
      expect(reader.isHeld).toBe(true);
      expect(performance.now() - startedAt).toBeLessThan(promptMs);
    });

    it('passes over waiting writers and readers that are gone, at once', async () => {
      await warmUp();
      const client = redis.client();
      const writer = await here().write();
      await client.rpush(`${main}:queue`, dead);
      await client.zadd(`${main}:waiters`, Date.now() + 60_000, dead);
      await client.zadd(`${main}:waiting-readers`, Date.now() + 60_000, `x${dead}`);
      for (const part of [':queue', ':waiters', ':waiting-readers']) await client.pexpire(main + part, 60_000);
      const next = there().write();
      await waiting(2, 1);
      const releasedAt = performance.now();
      await writer.release();
      const second = await next;
      expect(performance.now() - releasedAt).toBeLessThan(promptMs);
      await second.release();
      expect(await here().inspect()).toMatchObject({ writer: undefined, readers: 0 });
    });
  });

  it('takes the options of a mutex', async () => {
    const client = redis.client();
    const kept = await here().read({ minHold: '30s', ttl: '60s' });
    expect(await kept.release()).toBe(true);
    expect(await here().inspect()).toMatchObject({ readers: 1 });
    expect(await client.pttl(`${main}:readers`)).toBeLessThanOrEqual(30_000);
    expect(await client.pttl(`${main}:readers`)).toBeGreaterThan(20_000);
    expect(await failureOf(there().write({ waitTimeout: 100 }))).toBeInstanceOf(LockTimeoutError);
    await client.del(`${main}:readers`);

    const writer = await here().write({ minHold: '30s' });
    expect(await writer.release()).toBe(true);
    expect(await client.pttl(main)).toBeGreaterThan(20_000);
    await client.del(main);

    const overlong = failureOf(
      here().withRead({ ttl: '10s', maxHold: 200 }, async (lock) => {
        await new Promise((resolve) => {
          lock.signal.addEventListener('abort', resolve, { once: true });
        });
      }),
    );
    expect(await overlong).toMatchObject({ code: 'LOCK_LOST', reason: 'max-hold' });
    expect(await failureOf(here().read({ ttl: 5 }))).toBeInstanceOf(OptionsError);
    expect((await failureOf(here().write(Object.assign({ ttl: 5_000 }, { tll: 5 })))).message).toContain(
      'write(options).tll',
    );
  });

  it('refuses waiters at shutdown, and gives back what is held', async () => {
    const host = await startHost(redis.connection);
    const lock = host.locks.readWrite('prices');
    const reader = await lock.read();
    const refused = [failureOf(lock.write()), failureOf(lock.read())];
    await eventually(async () => {
      expect((await here().inspect()).waitingWriters).toBe(1);
    });
    await host.app.close();
    for (const refusal of refused) {
      expect(await refusal).toMatchObject({ code: 'LOCK_NOT_ACQUIRED', reason: 'shutdown' });
    }
    expect(reader.signal.reason).toMatchObject({ code: 'LOCK_LOST', reason: 'shutdown' });
    expect(await here().inspect()).toMatchObject({
      writer: undefined,
      readers: 0,
      waitingWriters: 0,
      waitingReaders: 0,
    });
  });
});
