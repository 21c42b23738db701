import { RedisUnavailableError } from '@redstart/redis-core';
import { describeOn, eventually, standalone } from '@redstart/redis-testing';
import { DrivenHost } from './driven-host.js';
import { deferred, failureOf, startHost, type Host } from './support.js';

const main = 'shop:semaphore:{bank}';
const dead = `${'d'.repeat(22)}dead-host:1:abcdefgh`;
const surely = (ttlMs: number) => ttlMs * 0.99 - 2;

/** What a semaphore makes of answers and messages that come late or never. Its own time stands still, so no timer helps it. */
describeOn(standalone)('a semaphore', (redis) => {
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
  const driven = () => host.locks.semaphore('bank', { permits: 3 });
  const there = () => other.locks.semaphore('bank', { permits: 3 });

  const untouched = async () => {
    await eventually(async () => {
      expect(await redis.client().exists(main, `${main}:queue`, `${main}:waiters`)).toBe(0);
    });
  };

  it('knows a caller again whose answer was lost, and takes no second permit', async () => {
    host.loseReplies('lock.acquire-permits');
    const permit = await host.pass(driven().acquire({ permits: 2 }));
    expect(host.calls.get('lock.acquire-permits')).toBe(2);
    expect(await redis.client().zcard(main)).toBe(2);
    expect(await permit.release()).toBe(true);
    await untouched();
  });

  it('counts a release as done whose answer was lost', async () => {
    const permit = await driven().acquire({ permits: 2 });
    host.loseReplies('lock.release-permits');
    expect(await permit.release()).toBe(true);
    expect(host.calls.get('lock.release-permits')).toBe(2);
    await untouched();
  });

  it('clears what an attempt may have left that got no answer at all', async () => {
    host.loseReplies('lock.acquire-permits', Infinity);
    expect(await host.pass(failureOf(driven().acquire({ permits: 3 })))).toBeInstanceOf(RedisUnavailableError);
    await untouched();
  });

  it('hands over by messages alone, a claim that is turned into a full lease', async () => {
    const confirmed = deferred();
    host.onCall('lock.extend', async (send) => {
      await confirmed.promise;
      return send();
    });
    const held = await there().acquire({ permits: 3 });
    const next = [driven().acquire({ ttl: '60s' }), driven().acquire({ ttl: '60s', permits: 2 })];
    await host.asleep('lock.acquire-permits', 4, 2);
    await held.release();
    const permits = await Promise.all(next);
    expect(host.calls.get('lock.acquire-permits')).toBe(4);
    for (const permit of permits) {
      expect(permit.fencingToken).toBeGreaterThan(held.fencingToken);
      expect(permit.remainingMs).toBe(surely(8_000));
    }
    expect(await redis.client().pttl(main)).toBeLessThanOrEqual(8_000);
    confirmed.resolve();
    await eventually(() => {
      for (const permit of permits) expect(permit.remainingMs).toBe(surely(60_000));
    });
    expect(await redis.client().pttl(`${main}:limit`)).toBeGreaterThan(50_000);
    for (const permit of permits) expect(await permit.release()).toBe(true);
    await untouched();
  });

  it('puts back what a caller was given that gives up before it hears of it', async () => {
    const heard: (() => void)[] = [];
    host.hear = (deliver) => {
      heard.push(deliver);
    };
    const held = await there().acquire({ permits: 3 });
    const controller = new AbortController();
    const quitter = failureOf(driven().acquire({ permits: 3, signal: controller.signal }));
    await host.asleep('lock.acquire-permits', 2);
    await held.release();
    await eventually(() => heard.length === 1);
    expect(await there().available()).toBe(0);
    const next = there().acquire({ permits: 2 });
    controller.abort(new Error('enough'));
    expect((await quitter).message).toBe('enough');
    await (await next).release();
    await untouched();
  });

  it('finds its permits by itself when the message was lost, at the next sign of life', async () => {
    host.hear = () => undefined;
    const held = await there().acquire({ permits: 3 });
    const next = driven().acquire({ permits: 2 });
    await host.asleep('lock.acquire-permits', 2);
    await held.release();
    host.clock.advance(20_000);
    const permit = await next;
    expect(permit.remainingMs).toBe(surely(30_000));
    expect(await redis.client().zcard(main)).toBe(2);
    await permit.release();
  });

  it('looks when the first lease in the way is over, and serves those behind with what is left then', async () => {
    await there().acquire({ ttl: '60s' });
    await redis.client().zadd(main, Date.now() + 9_000, `1 ${dead}`, Date.now() + 9_000, `2 ${dead}`);
    host.onCall('lock.acquire-permits', async (send) => {
      const answer = await send();
      // However long the test took to ask.
      if (typeof answer === 'object' && answer !== null && 'leaseMs' in answer) answer.leaseMs = 5_000;
      return answer;
    });
    const first = driven().acquire();
    await host.asleep('lock.acquire-permits', 2);
    const second = driven().acquire();
    await host.asleep('lock.acquire-permits', 3, 2);
    await redis.client().zadd(main, 'XX', 1, `1 ${dead}`, 1, `2 ${dead}`);
    host.clock.advance(5_002);
    await first;
    await second;
    // The second one was told: it would have looked a little later.
    expect(host.calls.get('lock.acquire-permits')).toBe(4);
  });

  it('loses a permit at its deadline, and tells of one that Redis has lost', async () => {
    const lapsing = await driven().acquire({ ttl: '10s' });
    host.clock.advance(surely(10_000));
    expect(lapsing.signal.reason).toMatchObject({ code: 'LOCK_LOST', reason: 'deadline' });
    await untouched();
    const lost = await driven().acquire();
    await redis.client().del(main);
    expect(await failureOf(lost.extend())).toMatchObject({ code: 'LOCK_LOST', reason: 'taken' });
    expect(await redis.client().exists(main)).toBe(0);
  });

  it('goes by the limit in force when somebody lets go whose permits were lost', async () => {
    const stale = [await driven().acquire({ permits: 2 }), await driven().acquire({ ttl: '10s' })] as const;
    await redis.client().del(main); // As if their leases were over.
    const one = other.locks.semaphore('bank', { permits: 1 });
    const held = await one.acquire();
    const next = one.acquire();
    await eventually(async () => {
      expect((await one.inspect()).waiting).toBe(1);
      // The other one listens, so it could be given a permit.
      expect(await redis.client().pubsub('CHANNELS', 'shop:lock:wake:*')).toHaveLength(1);
    });
    expect(await stale[0].release()).toBe(false);
    host.clock.advance(surely(10_000));
    expect(stale[1].isHeld).toBe(false);
    await eventually(() => host.calls.get('lock.give-up-permits') === 1);
    await host.locks.beforeApplicationShutdown();
    expect(await one.inspect()).toMatchObject({ available: 0, waiting: 1 });
    expect(await redis.client().zcard(main)).toBe(1);
    await held.release();
    await (await next).release();
  });

  it('can be extended, released, given up and handed over when Redis is out of memory', async () => {
    const memory = (limit: string) => redis.client().config('SET', 'maxmemory', limit);
    const held = await there().acquire({ permits: 3, ttl: '10s' });
    const controller = new AbortController();
    const quitter = failureOf(driven().acquire({ permits: 3, signal: controller.signal }));
    await host.asleep('lock.acquire-permits', 2);
    const patient = driven().acquire();
    await host.asleep('lock.acquire-permits', 3, 2);
    await memory('1');
    try {
      expect(await failureOf(other.locks.semaphore('free', { permits: 1 }).tryAcquire())).toBeInstanceOf(
        RedisUnavailableError,
      );
      await held.extend('60s');
      controller.abort(new Error('enough'));
      await quitter;
      expect(await held.release()).toBe(true);
      const permit = await patient;
      await permit.extend('60s');
      expect(await permit.release()).toBe(true);
      await untouched();
    } finally {
      await memory('0');
    }
  });
});
