import 'reflect-metadata';
import { jest } from '@jest/globals';
import { Injectable, Logger } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { InvalidKeyError, OptionsError } from '@redstart/redis-core';
import { eventually } from '@redstart/redis-testing';
import {
  currentLock,
  getLockToken,
  InjectLock,
  LockLostError,
  LockService,
  PartialReentryError,
  provideNoopLock,
  ReadWriteNestingError,
  WithLock,
  type Lock,
} from '../src/index.js';
import { failureOf } from './support.js';

/** As a user of the library has it. */
@Injectable()
class Payments {
  readonly booked: { readonly id: string; readonly fence: number }[] = [];

  constructor(
    private readonly locks: LockService,
    @InjectLock('jobs') private readonly jobs: LockService,
  ) {}

  @WithLock((id: string) => ['order', id], { waitTimeout: '2s' })
  async pay(id: string): Promise<string> {
    const lock = currentLock();
    lock?.assertHeld();
    this.booked.push({ id, fence: lock?.fencingToken ?? 0 });
    return this.confirm(id);
  }

  @WithLock((id: string) => ['order', id], { reentrant: true, onLocked: 'skip' })
  confirm(id: string): Promise<string> {
    return Promise.resolve(`paid ${id}`);
  }

  @WithLock('report', { name: 'jobs', onLocked: 'throw' })
  report(): Promise<readonly string[]> {
    return Promise.resolve(currentLock()?.keys ?? []);
  }

  async export(): Promise<string> {
    await using lock = await this.jobs.tryAcquire('export', { autoExtend: true });
    return lock === null ? 'running elsewhere' : 'exported';
  }

  refund(id: string): Promise<boolean> {
    return this.locks.withLock(['order', id], {}, (lock) => Promise.resolve(lock.isHeld && !lock.signal.aborted));
  }
}

const build = () =>
  Test.createTestingModule({ providers: [Payments, ...provideNoopLock(), ...provideNoopLock('jobs')] }).compile();

describe('provideNoopLock', () => {
  it('lets a class with locks be tested without Redis and without RedisModule', async () => {
    const module = await build();
    await module.init();
    const payments = module.get(Payments);
    expect(await Promise.all([payments.pay('1'), payments.pay('2')])).toEqual(['paid 1', 'paid 2']);
    expect(await payments.report()).toEqual(['noop:lock:{report}']);
    expect([await payments.export(), await payments.refund('1')]).toEqual(['exported', true]);
    expect(currentLock()).toBeUndefined();

    const [first, second] = payments.booked;
    expect(first?.fence).toBeGreaterThan(0);
    expect(second?.fence).toBeGreaterThan(first?.fence ?? Infinity);
    expect(module.get(LockService)).toBe(module.get(getLockToken()));
    expect(module.get(LockService)).not.toBe(module.get(getLockToken('jobs')));
    expect(module.get(LockService).stats()).toMatchObject({
      attempts: 3,
      acquired: 3,
      released: 3,
      held: 0,
      reentered: 2,
    });
    await module.close();
  });

  it('gives out locks that behave: held until they are released, once', async () => {
    const locks = (await build()).get(LockService);
    const lock = await locks.acquire([['b'], ['a'], ['b']], { ttl: '10s' });
    const same = await locks.tryAcquire('a');
    expect(same?.fencingToken).toBeGreaterThan(lock.fencingToken);
    expect(same?.token).not.toBe(lock.token);
    expect([lock.keys, lock.remainingMs, lock.isHeld]).toEqual([['noop:lock:{a}', 'noop:lock:{b}'], 10_000, true]);
    await lock.extend('20s');
    expect(lock.remainingMs).toBe(20_000);
    expect([await lock.release(), await lock.release()]).toEqual([true, true]);
    expect([lock.isHeld, lock.remainingMs, lock.signal.aborted]).toEqual([false, 0, false]);
    expect(locks.stats()).toMatchObject({ acquired: 2, released: 1, held: 1 });
    expect(() => {
      lock.assertHeld();
    }).toThrow(LockLostError);
    expect(await failureOf(lock.extend())).toMatchObject({ code: 'LOCK_LOST', reason: 'released' });
    expect([await locks.isLocked('a'), await locks.inspect('a'), await locks.forceRelease('a')]).toEqual([
      false,
      null,
      false,
    ]);
  });

  it('passes on what the work throws, and says that it ran', async () => {
    const locks = (await build()).get(LockService);
    const failure = new Error('no money');
    const running = locks.withLock('x', {}, () => Promise.resolve(currentLock() !== undefined));
    expect(currentLock()).toBeUndefined(); // The work alone is under the lock, not what follows its call.
    expect(await running).toBe(true);
    await expect(locks.withLock('x', {}, () => Promise.reject(failure))).rejects.toBe(failure);
    expect(await locks.tryWithLock('x', {}, () => Promise.resolve(7))).toEqual({ ran: true, result: 7 });
    expect(locks.stats()).toMatchObject({ acquired: 3, released: 3 });
  });

  it('grants both sides of a read/write lock, permits, and the leadership', async () => {
    const module = await build();
    await module.init();
    const locks = module.get(LockService);
    const prices = locks.readWrite(['prices', 1]);
    const downgraded = await prices.withWrite({}, async (writer) => {
      const reader = await writer.downgrade();
      expect([writer.isHeld, reader.isHeld, reader.token]).toEqual([false, true, writer.token]);
      return reader;
    });
    expect(downgraded.isHeld).toBe(false);
    await using _reader = await prices.read();
    expect(await prices.withRead({}, () => Promise.resolve(currentLock()?.keys))).toEqual(['noop:rwlock:{prices:1}']);
    expect((await prices.tryWrite())?.isHeld).toBe(true);

    const bank = locks.semaphore('bank', { permits: 2 });
    expect(await bank.withPermit({ permits: 2 }, (permit) => Promise.resolve(permit.isHeld))).toBe(true);
    await expect(bank.acquire({ permits: 3 })).rejects.toThrow(/permits/);

    const told: unknown[] = [];
    const leadership = locks.leader('scheduler', {
      onElected: (lock) =>
        new Promise<void>((resolve) => {
          told.push(lock.fencingToken > 0);
          lock.signal.addEventListener('abort', () => {
            resolve();
          });
        }),
      onRevoked: (reason) => told.push(reason),
    });
    await eventually(() => leadership.isLeader);
    await module.close();
    expect([leadership.isLeader, leadership.lock]).toEqual([false, undefined]);
    expect(told).toEqual([true, 'shutdown']);
  });

  it('lets a leader resign, and lets nobody lead whose onElected fails', async () => {
    const error = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    const locks = (await build()).get(LockService);
    const told: string[] = [];
    const onRevoked = (reason: string) => told.push(reason);
    let term: Lock | undefined;
    const resigning = locks.leader('scheduler', {
      onElected: (lock) => {
        term = lock;
      },
      onRevoked,
    });
    await eventually(() => resigning.isLeader);
    expect(resigning.lock).toBe(term);
    expect(await term?.release()).toBe(true);
    expect([resigning.isLeader, resigning.lock, term?.signal.aborted, told]).toEqual([
      false,
      undefined,
      true,
      ['resigned'],
    ]);
    expect(term?.signal.reason).toMatchObject({ code: 'LOCK_LOST', reason: 'released' });
    await resigning.stop();
    expect(told).toEqual(['resigned']);

    const failing = locks.leader('scheduler', { onElected: () => Promise.reject(new Error('no disk')), onRevoked });
    await eventually(() => told.length === 2);
    expect([failing.isLeader, told]).toEqual([false, ['resigned', 'failed']]);
    expect(error.mock.calls).toEqual([['Leader of "noop:lock:{scheduler}": no disk']]);
    expect(locks.stats()).toMatchObject({ attempts: 2, acquired: 2, released: 2 });
    error.mockRestore();
  });

  describe('lets nested calls do what they do with Redis', () => {
    const nested = { reentrant: true } as const;
    const brief = { waitTimeout: 20 } as const;
    const nothing = () => Promise.resolve();

    it('has a call wait in vain for the lock of its own caller, and says so', async () => {
      const locks = (await build()).get(LockService);
      await locks.withLock('x', {}, async () => {
        expect(await failureOf(locks.withLock('x', brief, nothing))).toMatchObject({
          code: 'LOCK_TIMEOUT',
          key: 'noop:lock:{x}',
          nesting: 'outer',
        });
        expect(await failureOf(locks.acquire([['w'], ['x']], brief))).toMatchObject({
          code: 'LOCK_TIMEOUT',
          key: 'noop:lock:{x}',
        });
        expect(await locks.tryWithLock('x', {}, nothing)).toEqual({
          ran: false,
          key: 'noop:lock:{x}',
          nesting: 'outer',
        });
        expect(await locks.tryAcquire('x')).toBeNull();
        await (await locks.acquire('y')).release();
      });
      expect(locks.stats()).toMatchObject({ attempts: 6, acquired: 2, timeouts: 2, refused: 2, contended: 4, held: 0 });
      await (await locks.acquire('x')).release();
    });

    it('lets work that was left behind have the lock when its caller has ended', async () => {
      const locks = (await build()).get(LockService);
      const order: string[] = [];
      let leftBehind: Promise<unknown> = Promise.resolve();
      await locks.withLock('x', {}, async () => {
        leftBehind = locks.withLock('x', { waitTimeout: '1h' }, () => Promise.resolve(order.push('left behind')));
        await new Promise(setImmediate);
        order.push('caller');
      });
      await leftBehind;
      expect(order).toEqual(['caller', 'left behind']);
    });

    it('ends the wait by the signal of the call', async () => {
      const locks = (await build()).get(LockService);
      const controller = new AbortController();
      await locks.withLock('x', {}, async () => {
        const waiting = failureOf(locks.withLock('x', { signal: controller.signal }, nothing));
        controller.abort(new Error('enough'));
        expect((await waiting).message).toBe('enough');
      });
      expect(locks.stats()).toMatchObject({ attempts: 2, failed: 1, released: 1 });
    });

    it('runs reentrant calls under the lock that is held, one after the other', async () => {
      const locks = (await build()).get(LockService);
      let [inside, most] = [0, 0];
      await locks.withLock([['a'], ['b']], {}, async (outer) => {
        const sibling = () =>
          locks.withLock('a', nested, async (lock) => {
            most = Math.max(most, ++inside);
            expect([lock.token, lock.fencingToken, lock.keys]).toEqual([
              outer.token,
              outer.fencingToken,
              ['noop:lock:{a}'],
            ]);
            await new Promise(setImmediate);
            inside--;
          });
        await Promise.all([sibling(), sibling(), sibling()]);
        const more = await failureOf(locks.withLock([['b'], ['c']], nested, nothing));
        expect(more).toBeInstanceOf(PartialReentryError);
        expect(more).toMatchObject({ key: 'noop:lock:{c}', held: outer.keys });
      });
      expect(most).toBe(1);
      expect(locks.stats()).toMatchObject({ attempts: 1, acquired: 1, released: 1, reentered: 3 });
    });

    it('refuses the side of a read/write lock that would wait for itself', async () => {
      const locks = (await build()).get(LockService);
      const prices = locks.readWrite('prices');
      await prices.withRead({}, async () => {
        const upgrade = await failureOf(prices.withWrite({}, nothing));
        expect(upgrade).toBeInstanceOf(ReadWriteNestingError);
        expect(upgrade).toMatchObject({ key: 'noop:rwlock:{prices}', held: 'read', asked: 'write' });
        await prices.withRead({}, nothing);
        await locks.readWrite('rates').withWrite({}, nothing);
        // Left by the inner call, still held by this one.
        await expect(prices.tryWrite()).rejects.toThrow(ReadWriteNestingError);
      });
      await prices.withWrite({}, async (writer) => {
        await expect(prices.read()).rejects.toThrow(ReadWriteNestingError);
        await expect(prices.write()).rejects.toThrow(ReadWriteNestingError);
        await writer.downgrade();
        await prices.withRead({}, nothing);
        expect(await failureOf(prices.write())).toMatchObject({ held: 'read', asked: 'write' });
      });
      await prices.withWrite({}, nothing);
      expect(locks.stats()).toMatchObject({ attempts: 11, acquired: 6, released: 6, failed: 5 });
    });
  });

  it('refuses what the real one refuses: unknown options, wrong keys, an aborted signal', async () => {
    const locks = (await build()).get(LockService);
    await expect(locks.acquire('x', { lease: 5 } as object)).rejects.toThrow(OptionsError);
    await expect(locks.withLock('x', { ttl: 5 }, () => Promise.resolve())).rejects.toThrow(/withLock\(options\)\.ttl/);
    await expect(locks.tryAcquire('')).rejects.toThrow(InvalidKeyError);
    await expect(locks.acquire([])).rejects.toThrow(InvalidKeyError);
    await expect(locks.isLocked('')).rejects.toThrow(InvalidKeyError);
    await expect(locks.inspect('')).rejects.toThrow(InvalidKeyError);
    await expect(locks.forceRelease('')).rejects.toThrow(InvalidKeyError);
    await expect(locks.acquire('x', { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
  });
});
