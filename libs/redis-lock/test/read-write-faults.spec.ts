import { RedisUnavailableError } from '@redstart/redis-core';
import { describeOn, eventually, standalone } from '@redstart/redis-testing';
import { DrivenHost } from './driven-host.js';
import { deferred, failureOf, startHost, watch, type Host } from './support.js';

const main = 'shop:rwlock:{prices}';
const surely = (ttlMs: number) => ttlMs * 0.99 - 2;

/** What a read/write lock makes of answers and messages that come late or never. Its own time stands still, so no timer helps it. */
describeOn(standalone)('a read/write lock', (redis) => {
  let other: Host;
  let host: DrivenHost;
  beforeAll(async () => {
    other = await startHost(redis.connection, { claimTtl: '8s' });
  });
  afterAll(() => other.app.close());
  beforeEach(async () => {
    host = await DrivenHost.start(redis.connection, { claimTtl: '10s' });
  });
  afterEach(() => host[Symbol.asyncDispose]());
  const driven = () => host.locks.readWrite('prices');
  const there = () => other.locks.readWrite('prices');

  const free = async () => {
    await eventually(async () => {
      expect(await redis.client().exists(main, `${main}:readers`, `${main}:queue`, `${main}:waiting-readers`)).toBe(0);
    });
  };

  describe('whose answer was lost', () => {
    it('knows a reader again', async () => {
      host.loseReplies('lock.acquire-read');
      const reader = await host.pass(driven().read());
      expect(host.calls.get('lock.acquire-read')).toBe(2);
      expect(await redis.client().zcard(`${main}:readers`)).toBe(1);
      expect(await redis.client().get(`${main}:fence`)).toBe(`${reader.fencingToken}`);
      expect(await reader.release()).toBe(true);
      await free();
    });

    it('knows a writer again, by the same fencing token', async () => {
      const fences: unknown[] = [];
      host.onCall('lock.acquire-write', async (send, nth) => {
        const answer = await send();
        if (typeof answer === 'object' && answer !== null && 'fencingToken' in answer) fences.push(answer.fencingToken);
        if (nth === 1) throw new RedisUnavailableError('lock.acquire-write: no answer', 'unknown');
        return answer;
      });
      const writer = await host.pass(driven().write());
      expect(fences).toEqual([writer.fencingToken, writer.fencingToken]);
      expect(await redis.client().get(`${main}:fence`)).toBe(`${writer.fencingToken}`);
      expect(await writer.release()).toBe(true);
      await free();
    });

    it.each(['read', 'write'] as const)('counts a release of %s as done', async (side) => {
      const lock = await driven()[side]();
      host.loseReplies(`lock.release-${side}`);
      expect(await lock.release()).toBe(true);
      expect(host.calls.get(`lock.release-${side}`)).toBe(2);
      await free();
    });

    it('clears what an attempt may have left that got no answer at all', async () => {
      host.loseReplies('lock.acquire-read', Infinity);
      expect(await host.pass(failureOf(driven().read()))).toBeInstanceOf(RedisUnavailableError);
      await free();
      host.loseReplies('lock.acquire-write', Infinity);
      expect(await host.pass(failureOf(driven().write()))).toBeInstanceOf(RedisUnavailableError);
      await free();
    });

    it('downgrades all the same', async () => {
      const writer = await driven().write({ ttl: '60s' });
      host.loseReplies('lock.downgrade');
      const reading = await writer.downgrade();
      expect(host.calls.get('lock.downgrade')).toBe(2);
      expect(reading.remainingMs).toBe(surely(60_000));
      expect(await there().inspect()).toMatchObject({ writer: undefined, readers: 1 });
      expect(await reading.release()).toBe(true);
      // Nothing of either lock is left to be watched over.
      expect(host.clock.pending).toBe(0);
    });

    it('holds neither side when it can not tell whether it was downgraded, and frees both', async () => {
      const writer = await driven().write();
      host.loseReplies('lock.downgrade', Infinity);
      const failure = failureOf(writer.downgrade());
      expect(writer.isHeld).toBe(false);
      expect(await failure).toBeInstanceOf(RedisUnavailableError);
      expect(await writer.release()).toBe(false);
      await free();
    });

    it('keeps the side that it has for its minHold when it can not tell which one that is', async () => {
      for (const executed of [true, false]) {
        const writer = await driven().write({ minHold: '20s', ttl: '60s' });
        host.onCall('lock.downgrade', async (send) => {
          if (executed) await send();
          throw new RedisUnavailableError('lock.downgrade: no answer', 'unknown');
        });
        expect(await failureOf(writer.downgrade())).toBeInstanceOf(RedisUnavailableError);
        const key = executed ? `${main}:readers` : main;
        await eventually(async () => {
          const keptMs = await redis.client().pttl(key);
          expect(keptMs).toBeGreaterThan(10_000);
          expect(keptMs).toBeLessThanOrEqual(20_000);
        });
        await redis.client().del(key);
      }
    });

    it('makes withWrite reject when the work hid that', async () => {
      host.loseReplies('lock.downgrade', Infinity);
      const failure = failureOf(
        driven().withWrite({}, async (lock) => {
          await failureOf(lock.downgrade());
        }),
      );
      expect(await failure).toMatchObject({ code: 'LOCK_LOST' });
      await free();
    });
  });

  it('counts the downgraded lease from when it was sent, and renews it at a third of it', async () => {
    await driven()
      .withWrite({ ttl: '30s' }, async (writer) => {
        host.onCall('lock.downgrade', async (send) => {
          const answer = await send();
          host.clock.advance(400);
          return answer;
        });
        const reading = await writer.downgrade();
        expect(reading.remainingMs).toBe(surely(30_000) - 400);
        host.clock.advance(10_000);
        await eventually(() => {
          expect(reading.remainingMs).toBe(surely(30_000));
        });
        expect(host.calls.get('lock.extend')).toBe(1);
        host.onCall('lock.extend', () => new Promise(() => undefined));
        host.clock.advance(surely(30_000));
        expect(reading.signal.reason).toMatchObject({ code: 'LOCK_LOST', reason: 'deadline' });
      })
      .then(
        () => {
          throw new Error('It did not reject.');
        },
        (error: unknown) => {
          expect(error).toMatchObject({ code: 'LOCK_LOST', reason: 'deadline' });
        },
      );
    await free();
  });

  it('lets all waiting readers in by messages alone, each with a claim that it turns into a full lease', async () => {
    const confirmed = deferred();
    host.onCall('lock.extend', async (send) => {
      await confirmed.promise;
      return send();
    });
    const writer = await there().write();
    const readers = [driven().read({ ttl: '60s' }), driven().read({ ttl: '60s' }), driven().read({ ttl: '60s' })];
    await host.asleep('lock.acquire-read', 6, 3);
    await writer.release();
    const locks = await Promise.all(readers);
    expect(host.calls.get('lock.acquire-read')).toBe(6);
    expect(new Set(locks.map((lock) => lock.fencingToken)).size).toBe(3);
    for (const lock of locks) {
      expect(lock.fencingToken).toBeGreaterThan(writer.fencingToken);
      // The claim time of whoever let them in, 8 s.
      expect(lock.remainingMs).toBe(surely(8_000));
    }
    expect(await redis.client().pttl(`${main}:readers`)).toBeLessThanOrEqual(8_000);
    confirmed.resolve();
    await eventually(() => {
      for (const lock of locks) expect(lock.remainingMs).toBe(surely(60_000));
    });
    for (const lock of locks) expect(await lock.release()).toBe(true);
  });

  it('gives the lock on when a reader gives up that was just let in', async () => {
    const heard: (() => void)[] = [];
    host.hear = (deliver) => {
      heard.push(deliver);
    };
    const writer = await there().write();
    const controller = new AbortController();
    const quitter = failureOf(driven().read({ signal: controller.signal }));
    await host.asleep('lock.acquire-read', 2);
    await writer.release();
    await eventually(() => heard.length === 1);
    expect(await there().inspect()).toMatchObject({ readers: 1 });
    const next = there().write();
    controller.abort(new Error('enough'));
    expect((await quitter).message).toBe('enough');
    await (await next).release();
    await free();
  });

  it('is found free by a reader whose message was lost, at its next sign of life', async () => {
    host.hear = () => undefined;
    const writer = await there().write();
    const next = driven().read();
    const state = watch(next);
    await host.asleep('lock.acquire-read', 2);
    await writer.release();
    for (let turn = 0; turn < 5; turn++) await redis.client().ping();
    expect(state.settled).toBe(false);
    host.clock.advance(20_000);
    const reader = await next;
    expect(reader.remainingMs).toBe(surely(30_000));
    expect(await redis.client().zcard(`${main}:readers`)).toBe(1);
    await reader.release();
  });

  it('is looked at by readers when the writer in the way lapses, before their next sign of life', async () => {
    await redis.client().set(main, `${'d'.repeat(22)}dead-host:1:abcdefgh`, 'PX', 9_000);
    const readers = [driven().read(), driven().read()];
    await host.asleep('lock.acquire-read', 4, 2);
    await redis.client().del(main);
    host.clock.advance(9_002);
    for (const reader of readers) await (await reader).release();
  });

  it('is looked at by readers when the place of the waiting writer in the way lapses', async () => {
    const client = redis.client();
    const gone = `${'d'.repeat(22)}dead-host:1:abcdefgh`;
    await using _reader = await there().read({ ttl: '60s' });
    await client.rpush(`${main}:queue`, gone);
    await client.zadd(`${main}:waiters`, Date.now() + 9_000, gone);
    const readers = [driven().read(), driven().read()];
    await host.asleep('lock.acquire-read', 4, 2);
    await client.zadd(`${main}:waiters`, 'XX', 1, gone);
    host.clock.advance(9_002);
    for (const reader of readers) await (await reader).release();
    await client.del(`${main}:queue`, `${main}:waiters`);
  });

  it('can be extended, released, downgraded, given up and handed over when Redis is out of memory', async () => {
    const memory = (limit: string) => redis.client().config('SET', 'maxmemory', limit);
    const writer = await there().write({ ttl: '10s' });
    const controller = new AbortController();
    const quitter = failureOf(driven().read({ signal: controller.signal }));
    await host.asleep('lock.acquire-read', 2);
    const patient = driven().read();
    await host.asleep('lock.acquire-read', 3, 2);
    await memory('1');
    try {
      expect(await failureOf(other.locks.readWrite('free').tryRead())).toBeInstanceOf(RedisUnavailableError);
      await writer.extend('60s');
      controller.abort(new Error('enough'));
      await quitter;
      const reading = await writer.downgrade();
      const reader = await patient;
      await reading.extend('60s');
      expect(await reading.release()).toBe(true);
      expect(await reader.release()).toBe(true);
      await free();
    } finally {
      await memory('0');
    }
  });
});
