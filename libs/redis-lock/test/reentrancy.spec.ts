import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import 'reflect-metadata';
import { Inject, Injectable } from '@nestjs/common';
import { describeOn, cluster, eventually, sentinel, standalone } from '@redstart/redis-testing';
import { currentLock, LockLostError, LockService, WithLock, type Lock } from '../src/index.js';
import { currentFrame } from '../src/reentrancy/frames.js';
import { DrivenHost } from './driven-host.js';
import { deferred, failureOf, startHost, watch, type Host } from './support.js';

const key = 'shop:lock:{order:42}';
const reentrant = { reentrant: true } as const;

@Injectable()
class Orders {
  constructor(@Inject(LockService) private readonly locks: LockService) {}

  @WithLock((id: string) => ['order', id])
  async pay(id: string): Promise<readonly (string | undefined)[]> {
    return [currentLock()?.token, await this.book(id), await this.quietly(id)];
  }

  @WithLock((id: string) => ['order', id], { reentrant: true, waitTimeout: 0 })
  book(_id: string): Promise<string | undefined> {
    return Promise.resolve(currentLock()?.token);
  }

  @WithLock((id: string) => ['order', id], { reentrant: true, onLocked: 'skip' })
  async quietly(id: string): Promise<string | undefined> {
    return this.locks.withLock(['order', id], reentrant, (lock) => Promise.resolve(lock.token));
  }

  @WithLock((id: string) => ['order', id], { onLocked: 'throw' })
  refuse(id: string): Promise<void> {
    return this.refuse(id);
  }
}

describeOn(
  standalone,
  sentinel,
  cluster,
)('a nested call with `reentrant`', (redis) => {
  let host: Host;
  let other: Host;
  beforeAll(async () => {
    host = await startHost(redis.connection, {}, [Orders]);
    other = await startHost(redis.connection);
  });
  afterAll(() => Promise.all([host.app.close(), other.app.close()]));

  it('runs under the lock around it: no command, the same token, and the outer one releases', async () => {
    await host.locks.withLock('order:42', {}, async (outer) => {
      const before = await redis.client().get(key);
      const { attempts } = host.locks.stats();
      await host.locks.withLock(['order', 42], reentrant, async (inner) => {
        expect([inner.token, inner.fencingToken, inner.keys]).toEqual([outer.token, outer.fencingToken, [key]]);
        expect([inner.isHeld, inner.remainingMs > 20_000]).toEqual([true, true]);
        expect(currentLock()).toBe(inner);
        expect(await host.locks.tryWithLock('order:42', reentrant, () => Promise.resolve('deeper'))).toEqual({
          ran: true,
          result: 'deeper',
        });
      });
      expect(host.locks.stats()).toMatchObject({ attempts });
      expect([await redis.client().get(key), outer.isHeld, currentLock()]).toEqual([before, true, outer]);
    });
    expect(await redis.client().exists(key)).toBe(0);
  });

  it('has a handle of its own: its release ends the nested use only', async () => {
    await host.locks.withLock('order:42', {}, async (outer) => {
      await host.locks.withLock('order:42', reentrant, async (inner) => {
        expect([await inner.release(), await inner.release(), inner.isHeld, inner.remainingMs]).toEqual([
          true,
          true,
          false,
          0,
        ]);
        expect(() => {
          inner.assertHeld();
        }).toThrow(/released already/);
        await expect(inner.extend()).rejects.toThrow(LockLostError);
        expect(currentLock()).toBeUndefined();
        outer.assertHeld();
        // Another one is nested in the outer call again.
        expect(await host.locks.withLock('order:42', reentrant, ({ token }) => Promise.resolve(token))).toBe(
          outer.token,
        );
      });
      expect(await redis.client().get(key)).toMatch(new RegExp(`^${outer.token}`));
    });
  });

  it('may lengthen the lease around it, but never shortens it', async () => {
    await host.locks.withLock('order:42', { ttl: '20s' }, async () => {
      await host.locks.withLock('order:42', reentrant, async (inner) => {
        await inner.extend('1s');
        expect(inner.remainingMs).toBeGreaterThan(15_000);
        await inner.extend('60s');
        expect(inner.remainingMs).toBeGreaterThan(50_000);
      });
      expect(await redis.client().pttl(key)).toBeGreaterThan(50_000);
    });
  });

  it('takes the lock properly when nothing around it holds it: other keys, another application, a lock of acquire', async () => {
    const { acquired } = host.locks.stats();
    await host.locks.withLock('order:42', reentrant, async (first) => {
      await host.locks.withLock('order:43', reentrant, (second) => {
        expect(second.token).not.toBe(first.token);
        return Promise.resolve();
      });
      const elsewhere = await other.locks.tryWithLock('order:42', reentrant, () => Promise.resolve());
      expect(elsewhere).toEqual({ ran: false, key, nesting: undefined });
    });
    expect(host.locks.stats().acquired).toBe(acquired + 2);
    await using _manual = await host.locks.acquire('order:42');
    expect(await host.locks.tryWithLock('order:42', reentrant, () => Promise.resolve())).toMatchObject({ ran: false });
  });

  it('is found through @WithLock, skipping and all', async () => {
    const tokens = await host.app.get(Orders).pay('7');
    expect(tokens).toEqual([tokens[0], tokens[0], tokens[0]]);
    expect(tokens[0]).toHaveLength(22);
  });

  it('may have some of the locks around it, and is refused when others are missing', async () => {
    const accounts = [
      ['account', 1],
      ['account', 2],
    ];
    await host.locks.withLock(accounts, {}, async (outer) => {
      await host.locks.withLock(['account', 2], reentrant, async (inner) => {
        expect([inner.token, inner.keys]).toEqual([outer.token, ['shop:lock:{account:2}']]);
        // The other one is still under the lock around both.
        await host.locks.withLock(['account', 1], { reentrant: true, waitTimeout: 0 }, (deepest) => {
          expect(deepest.token).toBe(outer.token);
          return Promise.resolve();
        });
      });
      const more = host.locks.withLock([...accounts, ['account', 3]], reentrant, () => Promise.resolve());
      expect(await failureOf(more)).toMatchObject({
        code: 'PARTIAL_REENTRY',
        key: 'shop:lock:{account:3}',
        held: outer.keys,
        message: expect.stringContaining('Take all of them in the outer call') as string,
      });
      expect(await redis.client().exists('shop:lock:{account:3}')).toBe(0);
    });
  });

  it('left behind after the release takes the lock properly', async () => {
    const released = deferred();
    let left: Promise<Lock> | undefined;
    const outer = await host.locks.withLock('order:42', {}, (lock) => {
      left = released.promise.then(() => host.locks.withLock('order:42', reentrant, (own) => Promise.resolve(own)));
      return Promise.resolve(lock);
    });
    released.resolve();
    const own = await left;
    expect(own?.token).not.toBe(outer.token);
    expect(own?.fencingToken).toBeGreaterThan(outer.fencingToken);
  });

  it('that still runs when the work around it has ended keeps the lock until it ends, too', async () => {
    const done = deferred();
    let inner: Promise<void> | undefined;
    const outer = host.locks.withLock('order:42', {}, () => {
      inner = host.locks.withLock('order:42', reentrant, () => done.promise);
      return Promise.reject(new Error('the outer work has failed'));
    });
    const outerState = watch(outer);
    await eventually(() => inner !== undefined);
    expect(await other.locks.tryAcquire('order:42')).toBeNull();
    expect(outerState.settled).toBe(false);
    done.resolve();
    await expect(outer).rejects.toThrow('the outer work has failed');
    await inner;
    expect(await redis.client().exists(key)).toBe(0);
  });

  it('loses the lock when its outer holder releases it by hand', async () => {
    let anew: string | undefined;
    const outer = host.locks.withLock('order:42', {}, async (lock) => {
      const inner = host.locks.withLock('order:42', reentrant, async (own) => {
        await lock.release();
        expect(own.isHeld).toBe(false);
        // What follows in the same flow is under no lock, so it takes one.
        anew = await host.locks.withLock('order:42', reentrant, ({ token }) => Promise.resolve(token));
      });
      expect(await failureOf(inner)).toMatchObject({ code: 'LOCK_LOST', reason: 'released' });
      expect(anew).toHaveLength(22);
      expect(anew).not.toBe(lock.token);
    });
    await outer;
  });
});

describeOn(standalone)('nested calls of one call', (redis) => {
  let host: DrivenHost;
  beforeEach(async () => {
    host = await DrivenHost.start(redis.connection);
  });
  afterEach(() => host[Symbol.asyncDispose]());
  const nested = <T>(work: (lock: Lock) => Promise<T>, options = {}) =>
    host.locks.withLock('order:42', { ...reentrant, ...options }, work);

  it('take turns in their order, however they are started', async () => {
    const log: string[] = [];
    let running = 0;
    await host.locks.withLock('order:42', {}, async () => {
      await Promise.all(
        ['a', 'b', 'c', 'd'].map((name) =>
          nested(async () => {
            running += 1;
            expect(running).toBe(1);
            log.push(name);
            await new Promise(setImmediate);
            // Deeper ones have turns of their own, so this does not wait for itself.
            await Promise.all(
              [1, 2].map((n) => nested(() => Promise.resolve(log.push(`${name}${n}`)), { waitTimeout: '1s' })),
            );
            running -= 1;
          }),
        ),
      );
    });
    expect(log).toEqual(['a', 'a1', 'a2', 'b', 'b1', 'b2', 'c', 'c1', 'c2', 'd', 'd1', 'd2']);
    expect(host.locks.stats()).toMatchObject({ attempts: 1, acquired: 1, released: 1, reentered: 12 });
  });

  it('pass the turn on also when one fails', async () => {
    await host.locks.withLock('order:42', {}, async () => {
      const outcomes = await Promise.allSettled([
        nested(() => Promise.reject(new Error('no money'))),
        nested(() => Promise.resolve('second')),
      ]);
      expect(outcomes).toMatchObject([{ status: 'rejected' }, { status: 'fulfilled', value: 'second' }]);
    });
  });

  it('wait for their turn within waitTimeout and until their signal aborts, and the next one gets it', async () => {
    await host.locks.withLock('order:42', {}, async () => {
      const done = deferred();
      const abort = new AbortController();
      const first = nested(() => done.promise);
      const tooLate = failureOf(nested(() => Promise.resolve(), { waitTimeout: '2s' }));
      const aborted = failureOf(nested(() => Promise.resolve(), { signal: abort.signal }));
      const last = nested(() => Promise.resolve('last'), { waitTimeout: '10s' });
      expect(await host.locks.tryWithLock('order:42', reentrant, () => Promise.resolve())).toEqual({
        ran: false,
        key,
        nesting: 'sibling',
      });
      abort.abort(new Error('enough'));
      expect((await aborted).message).toBe('enough');
      host.clock.advance(2_000);
      expect(await tooLate).toMatchObject({
        code: 'LOCK_TIMEOUT',
        waitedMs: 2_000,
        nesting: 'sibling',
        message: expect.stringContaining('take turns') as string,
      });
      done.resolve();
      await first;
      expect(await last).toBe('last');
    });
  });

  it('that still wait when the work around them ends take the lock in Redis, each by itself', async () => {
    const done = deferred();
    const running: Promise<string>[] = [];
    const outer = host.locks.withLock('order:42', {}, (lock) => {
      running.push(nested((own) => done.promise.then(() => own.token)));
      running.push(...[1, 2].map(() => nested((own) => Promise.resolve(own.token))));
      return Promise.resolve(lock.token);
    });
    // They queue there, while the first one is still under the outer lock.
    await eventually(() => host.locks.stats().contended === 2);
    expect(host.locks.stats()).toMatchObject({ attempts: 3, held: 1, reentered: 1 });
    done.resolve();
    const token = await outer;
    const [first, ...later] = await Promise.all(running);
    expect(first).toBe(token);
    expect(new Set([token, ...later]).size).toBe(3);
    expect(host.locks.stats()).toMatchObject({ acquired: 3, released: 3, reentered: 1 });
  });

  it('that go on behind the release of the one around them have lost the lock', async () => {
    await host.locks.withLock('order:42', {}, async (outer) => {
      const sibling = deferred();
      const middle = nested(async (own) => {
        const left = nested(async (inner) => {
          await own.release(); // Now a sibling may come.
          expect([inner.isHeld, inner.remainingMs, outer.isHeld]).toEqual([false, 0, true]);
          await sibling.promise;
        });
        expect(await failureOf(left)).toMatchObject({ code: 'LOCK_LOST', reason: 'released' });
      });
      await nested(() => {
        sibling.resolve();
        return Promise.resolve();
      });
      await middle;
    });
  });

  it('are all lost with the lock: those that run, that wait for their turn, and that come later', async () => {
    const reasons: unknown[] = [];
    const outer = host.locks.withLock('order:42', { ttl: '10s', autoExtend: false }, async (lock) => {
      const heard = deferred();
      const running = failureOf(
        nested(async ({ signal }) => {
          signal.addEventListener('abort', () => {
            heard.resolve();
          });
          // Ends after whoever waits for its turn has heard of the loss.
          reasons.push(await waiting);
          throw new DOMException('stopped', 'AbortError');
        }),
      );
      const waiting = failureOf(nested(() => Promise.resolve('never')));
      await new Promise(setImmediate);
      host.clock.advance(10_000);
      expect(lock.isHeld).toBe(false);
      await heard.promise;
      reasons.push(await running, await failureOf(nested(() => Promise.resolve('never'))));
    });
    expect(await failureOf(outer)).toMatchObject({ code: 'LOCK_LOST', reason: 'deadline' });
    expect(reasons).toMatchObject([1, 2, 3].map(() => ({ code: 'LOCK_LOST', reason: 'deadline' })));
    expect(host.locks.stats()).toMatchObject({ attempts: 1, lost: 1, reentered: 1 });
  });

  it('of a lock that was lost behind a stall hear of it at once, before any timer', async () => {
    await failureOf(
      host.locks.withLock('order:42', { ttl: '10s', autoExtend: false }, async () => {
        // The clock has moved, but no timer has fired.
        const stalled = host.clock.now() + 20_000;
        host.clock.now = () => stalled;
        expect(await failureOf(nested(() => Promise.resolve('never')))).toMatchObject({ reason: 'deadline' });
      }),
    );
  });

  it.each([
    ['withLock', (at: number, work: (lock: Lock) => Promise<void>) => host.locks.withLock(['job', at], {}, work)],
    [
      'withWrite',
      (at: number, work: (lock: Lock) => Promise<void>) => host.locks.readWrite(['job', at]).withWrite({}, work),
    ],
  ])('keep no lock in memory that has been released, though its work has begun the next one: %s', async (_, run) => {
    const locks: WeakRef<Lock>[] = [];
    const [last, seen] = [deferred(), deferred()];
    const next = async (left: number): Promise<void> => {
      await run(left, async (lock) => {
        locks.push(new WeakRef(lock));
        if (left > 0) {
          setImmediate(() => void next(left - 1)); // In the flow of calls of this one, and after it.
          return;
        }
        last.resolve();
        await seen.promise;
      });
    };
    await next(50);
    await last.promise;
    await eventually(() => {
      collectGarbage();
      expect(locks.filter((lock) => lock.deref() !== undefined).length).toBeLessThan(10);
    });
    seen.resolve();
    expect(locks).toHaveLength(51);
  });

  it('are forgotten when they have ended: calls that overlap with the next one for ever make no chain', async () => {
    const depth = () => {
      let count = 0;
      for (let frame = currentFrame(); frame !== undefined; frame = frame.outer) count += 1;
      return count;
    };
    const depths: number[] = [];
    const finished = deferred();
    const next = (left: number, begun: () => void): void => {
      void host.locks.withLock(['job', left], {}, async () => {
        depths.push(depth());
        begun();
        if (left === 0) {
          finished.resolve();
          return;
        }
        await new Promise<void>((resolve) => {
          next(left - 1, resolve);
        });
      });
    };
    next(20, () => undefined);
    await finished.promise;
    expect(depths).toHaveLength(21);
    expect(Math.max(...depths)).toBeLessThanOrEqual(3);
  });
});

describeOn(standalone)('a nested call without `reentrant`', (redis) => {
  it('waits for itself, and is told so with the way out', async () => {
    await using host = await startHost(redis.connection, { waitTimeout: 100 }, [Orders]);
    await host.locks.withLock('order:42', {}, async () => {
      const waits = await failureOf(host.locks.withLock('order:42', {}, () => Promise.resolve()));
      expect(waits).toMatchObject({ code: 'LOCK_TIMEOUT', nesting: 'outer' });
      expect(waits.message).toMatch(/waited for itself: set reentrant: true/);
      const several = host.locks.withLock([['order', 42], ['x']], {}, () => Promise.resolve());
      expect(await failureOf(several)).toMatchObject({ nesting: 'outer' });
      const tried = await host.locks.tryWithLock('order:42', {}, () => Promise.resolve());
      expect(tried).toEqual({ ran: false, key, nesting: 'outer' });
    });
    const refused = await failureOf(host.app.get(Orders).refuse('42'));
    expect(refused).toMatchObject({ code: 'LOCK_NOT_ACQUIRED', nesting: 'outer' });
    expect(refused.message).toContain('set reentrant: true');
    await using _held = await host.locks.acquire('order:42');
    expect(await failureOf(host.locks.withLock('order:42', {}, () => Promise.resolve()))).toMatchObject({
      code: 'LOCK_TIMEOUT',
      nesting: undefined,
    });
  });

  it('refuses an option that is no boolean, and `reentrant` where nothing runs under the lock', async () => {
    await using host = await startHost(redis.connection);
    const text = { reentrant: 'yes' as unknown as boolean };
    await expect(host.locks.withLock('x', text, () => Promise.resolve())).rejects.toThrow(
      /withLock\(options\)\.reentrant/,
    );
    expect(() => WithLock('x', text)).toThrow(/reentrant/);
    await expect(host.locks.acquire('x', { reentrant: true } as object)).rejects.toThrow(/reentrant.*not an option/);
  });
});

/** Full and at once, as `node --expose-gc` allows. */
function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}
