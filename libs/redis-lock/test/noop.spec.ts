import 'reflect-metadata';
import { Injectable } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { InvalidKeyError, OptionsError } from '@redstart/redis-core';
import { eventually } from '@redstart/redis-testing';
import {
  currentLock,
  getLockToken,
  InjectLock,
  LockLostError,
  LockService,
  provideNoopLock,
  WithLock,
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
    expect(module.get(LockService).stats()).toMatchObject({ attempts: 5, acquired: 5, released: 5, held: 0 });
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

  it('refuses what the real one refuses: unknown options, wrong keys, an aborted signal', async () => {
    const locks = (await build()).get(LockService);
    await expect(locks.acquire('x', { lease: 5 } as object)).rejects.toThrow(OptionsError);
    await expect(locks.withLock('x', { ttl: 5 }, () => Promise.resolve())).rejects.toThrow(/withLock\(options\)\.ttl/);
    await expect(locks.tryAcquire('')).rejects.toThrow(InvalidKeyError);
    await expect(locks.acquire([])).rejects.toThrow(InvalidKeyError);
    await expect(locks.acquire('x', { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
  });
});
