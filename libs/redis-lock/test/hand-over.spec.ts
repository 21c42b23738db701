import { setTimeout as sleep } from 'node:timers/promises';
import { RedisUnavailableError } from '@redstart/redis-core';
import { cluster, describeOn, eventually, FaultProxy, sentinel, standalone } from '@redstart/redis-testing';
import { LockTimeoutError } from '../src/index.js';
import { DrivenHost } from './driven-host.js';
import { deferred, failureOf, startHost, watch, type Host } from './support.js';

const key = 'shop:lock:{order:42}';
const surely = (ttlMs: number) => ttlMs * 0.99 - 2;

/**
 * What a waiter makes of what it hears, does not hear, or hears too late: its own time stands still, so no timer helps it. Redis' time goes on, by which a hand-over is
 * later than the last answer; the claims are long, so that this never matters.
 */
describeOn(
  standalone,
  sentinel,
  cluster,
)('a waiter', (redis) => {
  let other: Host;
  let host: DrivenHost;
  beforeAll(async () => {
    other = await startHost(redis.connection, { claimTtl: '20s' });
  });
  afterAll(() => other.app.close());
  beforeEach(async () => {
    host = await DrivenHost.start(redis.connection, { claimTtl: '10s' });
  });
  afterEach(() => host[Symbol.asyncDispose]());

  const waiting = async (count: number, subject = 'order:42') => {
    await eventually(async () => {
      expect((await other.locks.inspect(subject))?.waiting ?? 0).toBe(count);
    });
  };
  /** It listens, has its place and has looked since: from here on nothing happens by itself. */
  const asleep = async (asker: DrivenHost = host, questions = 2) => {
    await eventually(() => {
      expect(asker.calls.get('lock.acquire')).toBeGreaterThanOrEqual(questions);
      expect(asker.clock.pending).toBe(1);
    });
  };
  /** Keeps what the host hears until it is to be told. */
  const holdMessages = () => {
    const held: (() => void)[] = [];
    host.hear = (deliver) => {
      held.push(deliver);
    };
    return {
      arrived: async (count = 1) => {
        await eventually(() => held.length === count);
      },
      deliver: () => {
        for (const deliver of held.splice(0)) deliver();
      },
    };
  };
  /** Lets everything that a message has caused come to its end, in this process and in Redis. */
  const settle = async () => {
    for (let turn = 0; turn < 5; turn++) await redis.client().ping();
  };

  it('sends nothing while it waits, and is woken by the message alone', async () => {
    const held = await other.locks.acquire('order:42');
    const next = host.locks.acquire('order:42');
    await asleep();
    await settle();
    expect(host.calls.get('lock.acquire')).toBe(2);
    await held.release();
    const lock = await next;
    expect(host.calls.get('lock.acquire')).toBe(2);
    expect(lock.isHeld).toBe(true);
  });

  it('is woken by a message that overtakes the answer which says that it has to wait', async () => {
    const first = await other.locks.acquire('order:42');
    const listening = host.locks.acquire('order:42');
    await asleep();
    await first.release();
    await (await listening).release();

    const held = await other.locks.acquire('order:42');
    const answer = deferred();
    host.onCall('lock.acquire', async (send) => {
      const reply = await send();
      await answer.promise;
      return reply;
    });
    let heard = false;
    host.hear = (deliver) => {
      deliver();
      heard = true;
    };
    const next = host.locks.acquire('order:42');
    const overtaken = async () => {
      await waiting(1);
      await held.release();
      await eventually(() => heard);
    };
    await overtaken().finally(answer.resolve);
    await (await next).release();
    expect(host.calls.get('lock.acquire')).toBe(1);
  });

  it('relies on the claim time of whoever handed the lock over, not on its own', async () => {
    const confirmed = deferred();
    host.onCall('lock.extend', async (send) => {
      await confirmed.promise;
      return send();
    });
    const held = await other.locks.acquire('order:42');
    const next = host.locks.acquire('order:42', { ttl: '60s' });
    await asleep();
    await held.release();
    const lock = await next;

    expect(lock.remainingMs).toBe(surely(20_000));
    expect(await redis.client().pttl(key)).toBeLessThanOrEqual(20_000);
    confirmed.resolve();
    await eventually(() => {
      expect(lock.remainingMs).toBe(surely(60_000));
    });
    expect(await redis.client().pttl(key)).toBeGreaterThan(50_000);
  });

  it('relies on no more than the ttl that it asked for, even if the claim is longer', async () => {
    const messages = holdMessages();
    const held = await other.locks.acquire('order:42');
    const next = host.locks.acquire('order:42', { ttl: '10s' });
    await asleep();
    await held.release();
    await messages.arrived();
    host.clock.advance(9_000); // Of the claim of 20 s, more than half would be left.
    messages.deliver();
    expect((await next).remainingMs).toBe(surely(10_000));
    expect(host.calls.get('lock.acquire')).toBe(3);
  });

  it('that was paused for most of the claim asks before it relies on it', async () => {
    const messages = holdMessages();
    const held = await other.locks.acquire('order:42');
    const next = host.locks.acquire('order:42', { ttl: '60s' });
    await asleep();
    await held.release();
    await messages.arrived();
    host.clock.advance(16_000);
    messages.deliver();
    const lock = await next;
    // The answer to a question: a full lease. By the message it would have been about 4 s.
    expect(lock.remainingMs).toBe(surely(60_000));
    expect(host.calls.get('lock.acquire')).toBe(3);
  });

  it('that was paused for less takes the rest of the claim, and no more', async () => {
    const confirmed = deferred();
    host.onCall('lock.extend', async (send) => {
      await confirmed.promise;
      return send();
    });
    const messages = holdMessages();
    const held = await other.locks.acquire('order:42');
    const next = host.locks.acquire('order:42', { ttl: '60s' });
    await asleep();
    await held.release();
    await messages.arrived();
    host.clock.advance(12_000);
    messages.deliver();
    const { remainingMs } = await next;
    // The hand-over was some real milliseconds after its last question, for which its own clock stood still.
    expect(remainingMs).toBeGreaterThanOrEqual(surely(20_000) - 12_000);
    expect(remainingMs).toBeLessThan(surely(20_000) - 6_000);
    confirmed.resolve();
  });

  it('that was paused for longer than the claim does not take a lock that somebody else holds by now', async () => {
    await using brisk = await startHost(redis.connection, { claimTtl: 100 });
    const messages = holdMessages();
    const held = await brisk.locks.acquire('order:42');
    const next = host.locks.acquire('order:42');
    const state = watch(next);
    await asleep();
    await held.release();
    await messages.arrived();
    const stranger = await eventually(async () => {
      const lock = await other.locks.tryAcquire('order:42');
      expect(lock).not.toBeNull();
      return lock;
    });
    host.clock.advance(10_000);
    messages.deliver();
    await waiting(1); // in the queue again
    await settle();
    expect(state.settled).toBe(false);
    expect(await stranger?.release()).toBe(true);
    await messages.arrived();
    messages.deliver();
    expect((await next).isHeld).toBe(true);
  });

  it('believes a newer answer of Redis rather than an older message', async () => {
    const messages = holdMessages();
    const held = await other.locks.acquire('order:42');
    const next = host.locks.acquire('order:42');
    const state = watch(next);
    await asleep();
    await held.release();
    await messages.arrived();
    expect(await other.locks.forceRelease('order:42')).toBe(true);
    await using _stranger = await other.locks.acquire('order:42');
    await sleep(5); // Redis tells messages and answers apart by its milliseconds.
    host.clock.advance(20_000); // Its sign of life.
    await waiting(1);
    await asleep(host, 3);
    messages.deliver();
    await asleep(host, 4);
    await settle();
    expect(state.settled).toBe(false);
    await _stranger.release();
    await messages.arrived();
    messages.deliver();
    await next;
  });

  // On Cluster each lock has a channel of its own, so no message can be mistaken.
  if (redis.topology !== 'cluster') {
    it('for several locks does not take a message about one of them for another one', async () => {
      const messages = holdMessages();
      const [a, b] = [await other.locks.acquire('a'), await other.locks.acquire('b')];
      const both = host.locks.acquire([['a'], ['b']]);
      const state = watch(both);
      await asleep();
      await a.release();
      await messages.arrived();
      host.clock.advance(20_000); // Its sign of life, which is answered with the lock before the message comes.
      await waiting(1, 'b');
      const client = redis.client();
      const owner = (await client.get('shop:lock:{a}')) ?? '';
      messages.deliver();
      // The same within one millisecond of the server's clock.
      const [seconds = 0] = await client.time();
      const sameTime = `${owner} 1 ${seconds * 1_000 + 1_000} 10000 shop:lock:{a}`;
      expect(await client.publish(`shop:lock:wake:${owner.slice(22)}`, sameTime)).toBe(1);
      await messages.arrived();
      messages.deliver();
      await settle();
      expect(state.settled).toBe(false);
      await b.release();
      await messages.arrived();
      messages.deliver();
      await (await both).release();
    });
  }

  it('looks at once when its channel is open, because it was passed over until then', async () => {
    const subscribing = deferred();
    host.beforeSubscribe = () => subscribing.promise;
    const held = await other.locks.acquire('order:42');
    const next = host.locks.acquire('order:42');
    await asleep(host, 1);
    await held.release();
    expect(await redis.client().exists(key)).toBe(0);
    expect(await redis.client().llen(`${key}:queue`)).toBe(1);
    subscribing.resolve();
    expect((await next).isHeld).toBe(true);
  });

  // A proxy stands before one server.
  if (redis.topology === 'standalone') {
    describe('whose connections break', () => {
      let proxy: FaultProxy;
      let far: DrivenHost;
      beforeEach(async () => {
        proxy = await FaultProxy.start(redis.server);
        far = await DrivenHost.start({ url: proxy.url });
      });
      afterEach(async () => {
        await far[Symbol.asyncDispose]();
        await proxy.stop();
      });
      /** Does something while the waiter is deaf, so that it has heard of nothing when it listens again. */
      const whileDeaf = async (work: () => Promise<unknown>) => {
        const owner = (await redis.client().lindex(`${key}:queue`, 0)) ?? '';
        const channel = `shop:lock:wake:${owner.slice(22)}`;
        const listeners = async (count: number) => {
          await eventually(async () => {
            expect(await redis.client().pubsub('NUMSUB', channel)).toEqual([channel, count]);
          });
        };
        await listeners(1);
        const cut = proxy.refuse();
        expect(cut.injected).toBeGreaterThanOrEqual(2);
        await listeners(0);
        await work();
        cut.stop();
        await listeners(1);
      };

      it('looks again at once when it listens again', async () => {
        const held = await other.locks.acquire('order:42');
        const next = far.locks.acquire('order:42');
        await asleep(far);
        await whileDeaf(async () => {
          await held.release();
          // It has kept its place, and the lock is free.
          expect(await redis.client().exists(key)).toBe(0);
          expect(await redis.client().llen(`${key}:queue`)).toBe(1);
          expect(far.calls.get('lock.acquire')).toBe(2);
        });
        expect((await next).isHeld).toBe(true);
        expect(far.clock.now()).toBe(0);
      });

      it('looks again also when it was just looking', async () => {
        const held = await other.locks.acquire('order:42');
        const [asked, answered] = [deferred(), deferred()];
        far.onCall('lock.acquire', async (send, nth) => {
          const answer = await send();
          if (nth === 2) {
            asked.resolve();
            await answered.promise;
          }
          return answer;
        });
        const next = far.locks.acquire('order:42');
        await asked.promise;
        await whileDeaf(() => held.release());
        await settle();
        answered.resolve();
        expect((await next).isHeld).toBe(true);
        expect(far.clock.now()).toBe(0);
      });

      it('takes what it is handed while its question gets lost', async () => {
        const held = await other.locks.acquire('order:42');
        const next = far.locks.acquire('order:42');
        await asleep(far);
        const [asked, lost] = [deferred(), deferred()];
        far.onCall('lock.acquire', async () => {
          asked.resolve();
          await lost.promise;
          throw new RedisUnavailableError('lock.acquire: no answer', 'unknown');
        });
        await whileDeaf(() => Promise.resolve());
        await asked.promise;
        const heard = deferred();
        far.hear = (deliver) => {
          deliver();
          heard.resolve();
        };
        await held.release();
        await heard.promise;
        lost.resolve();
        expect((await next).isHeld).toBe(true);
        expect(far.calls.get('lock.acquire')).toBe(1);
      });
    });
  }

  it('shows a sign of life every third of the queue lease, which keeps its place', async () => {
    const held = await other.locks.acquire('order:42');
    const next = host.locks.acquire('order:42');
    await asleep();
    const owner = (await redis.client().lindex(`${key}:queue`, 0)) ?? '';
    await redis.client().zadd(`${key}:waiters`, 1, owner);
    await redis.client().pexpire(`${key}:queue`, 5_000);
    host.clock.advance(19_999);
    await settle();
    expect(host.calls.get('lock.acquire')).toBe(2);
    host.clock.advance(1);
    await waiting(1);
    expect(host.calls.get('lock.acquire')).toBe(3);
    expect(await redis.client().pttl(`${key}:queue`)).toBeGreaterThan(60_000);
    await held.release();
    await next;
  });

  it('looks when the lease of the holder is over: the first in the queue at once, the others a little later', async () => {
    const stranger = `${'d'.repeat(22)}dead-host:1:abcdefgh`;
    await redis.client().set(key, stranger, 'PX', 60_000);
    await using later = await DrivenHost.start(redis.connection);
    for (const asker of [host, later]) {
      asker.onCall('lock.acquire', async (send) => {
        const answer = await send();
        // However long the test took to ask.
        for (const reply of Array.isArray(answer) ? (answer as object[]) : [])
          Object.assign(reply, { leaseMs: 15_000 });
        return answer;
      });
    }
    const first = host.locks.acquire('order:42');
    await asleep();
    const second = later.locks.acquire('order:42');
    await asleep(later);
    await redis.client().del(key);
    host.clock.advance(15_002);
    later.clock.advance(15_049);
    const lock = await first;
    await settle();
    expect(later.calls.get('lock.acquire')).toBe(2);
    later.clock.advance(201);
    await asleep(later, 3);
    await lock.release();
    await (await second).release();
  });

  it('keeps its place through an outage, and gives up with it when its time is over', async () => {
    let down = true;
    const held = await other.locks.acquire('order:42');
    const gaveUp = failureOf(host.locks.acquire('order:42', { waitTimeout: '3m' }));
    const state = watch(gaveUp);
    await asleep();
    host.onCall('lock.acquire', (send) =>
      down ? Promise.reject(new RedisUnavailableError('lock.acquire: no answer', 'unknown')) : send(),
    );
    host.clock.advance(20_000);
    await eventually(
      async () => {
        await host.clock.advanceAsync(500);
        expect(host.clock.now()).toBeGreaterThan(40_000);
        expect(host.calls.get('lock.acquire')).toBeGreaterThan(10);
      },
      { every: 1 },
    );
    await waiting(1);
    down = false;
    await eventually(async () => {
      await host.clock.advanceAsync(10_000);
      expect(state.settled).toBe(true);
    });
    expect(host.clock.now()).toBeGreaterThanOrEqual(180_000);
    expect(await gaveUp).toBeInstanceOf(LockTimeoutError);
    await waiting(0);
    await held.release();
  });

  it('that is out of reach for longer than its place is kept rejects', async () => {
    await using _held = await other.locks.acquire('order:42');
    const failure = failureOf(host.locks.acquire('order:42'));
    const state = watch(failure);
    await asleep();
    host.onCall('lock.acquire', () => Promise.reject(new RedisUnavailableError('lock.acquire: down', 'not-executed')));
    host.clock.advance(20_000);
    await eventually(() => host.calls.get('lock.acquire') === 1);
    await host.clock.advanceAsync(59_000);
    expect(state.settled).toBe(false);
    await host.clock.advanceAsync(1_500);
    expect(await failure).toMatchObject({ message: 'lock.acquire: down' });
    await waiting(0);
  });

  it('stops at once when it is told to during an outage', async () => {
    const held = await other.locks.acquire('order:42');
    const controller = new AbortController();
    const failure = failureOf(host.locks.acquire('order:42', { signal: controller.signal }));
    await asleep();
    host.onCall('lock.acquire', async () => {
      await redis.client().ping();
      throw new RedisUnavailableError('lock.acquire: down', 'not-executed');
    });
    host.clock.advance(20_000);
    await asleep(host, 1); // between two questions
    controller.abort(new Error('changed my mind'));
    expect((await failure).message).toBe('changed my mind');
    expect(host.calls.get('lock.acquire')).toBe(1);
    await waiting(0);
    await held.release();
  });
});
