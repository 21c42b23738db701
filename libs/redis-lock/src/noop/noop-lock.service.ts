import type { Provider } from '@nestjs/common';
import { InvalidKeyError, type Key } from '@redstart/redis-core';
import { listKeys, lockKeys, type LockKey } from '../keys.js';
import type { Leadership } from '../leader/election.js';
import type { LeaderOptions } from '../leader/leader.options.js';
import type { Lock } from '../lock.js';
import type { HoldingOptions, LockCallOptions, ResolvedLockCall } from '../lock.options.js';
import { LockService, type TryOutcome } from '../lock.service.js';
import { getLockToken } from '../lock.tokens.js';
import type { ReadWriteLock } from '../read-write/read-write-lock.js';
import { runHolding } from '../run-holding.js';
import type { Semaphore, SemaphoreOptions } from '../semaphore/semaphore.js';
import type { LockStats } from '../telemetry/lock-stats.js';
import { NoopGrants, noopKeySpace } from './noop-grants.js';
import { NoopLeadership } from './noop-leadership.js';
import type { NoopLock } from './noop-lock.js';
import { NoopReadWriteLock } from './noop-read-write.js';
import { NoopSemaphore } from './noop-semaphore.js';

/** The whole public face of LockService: one that gets a method more, and this class not, does not compile. */
type PublicLockService = Pick<LockService, keyof LockService>;

/** Every lock is free at once, for everybody, at any time. Wrong options and keys are refused as ever. */
class NoopLockService implements PublicLockService {
  readonly #grants = new NoopGrants();
  readonly #leaderships = new Set<NoopLeadership>();

  async withLock<T>(key: LockKey, options: HoldingOptions, work: (lock: Lock) => Promise<T>): Promise<T> {
    return runHolding(this.#grant(key, this.#grants.resolveHolding(options, 'withLock(options)')), work);
  }

  async tryWithLock<T>(
    key: LockKey,
    options: HoldingOptions,
    work: (lock: Lock) => Promise<T>,
  ): Promise<TryOutcome<T>> {
    const lock = this.#grant(key, this.#grants.resolveHolding(options, 'tryWithLock(options)'));
    return { ran: true, result: await runHolding(lock, work) };
  }

  async acquire(key: LockKey, options: LockCallOptions = {}): Promise<Lock> {
    return Promise.resolve(this.#grant(key, this.#grants.resolve(options, 'acquire(options)')));
  }

  async tryAcquire(key: LockKey, options: LockCallOptions = {}): Promise<Lock> {
    return Promise.resolve(this.#grant(key, this.#grants.resolve(options, 'tryAcquire(options)')));
  }

  isLocked(): Promise<boolean> {
    return Promise.resolve(false);
  }

  inspect(): Promise<null> {
    return Promise.resolve(null);
  }

  forceRelease(): Promise<boolean> {
    return Promise.resolve(false);
  }

  stats(): LockStats {
    return this.#grants.counters.snapshot();
  }

  readWrite(key: Key): ReadWriteLock {
    const noop: Pick<ReadWriteLock, keyof ReadWriteLock> = new NoopReadWriteLock(this.#grants, key);
    return noop as ReadWriteLock;
  }

  semaphore(key: Key, options: SemaphoreOptions): Semaphore {
    const noop: Pick<Semaphore, keyof Semaphore> = new NoopSemaphore(this.#grants, key, options);
    return noop as Semaphore;
  }

  leader(key: Key, options: LeaderOptions): Leadership {
    const leadership = new NoopLeadership(this.#grants, key, options);
    this.#leaderships.add(leadership);
    return leadership;
  }

  async onModuleDestroy(): Promise<void> {
    await Promise.all([...this.#leaderships].map((leadership) => leadership.end('shutdown')));
  }

  beforeApplicationShutdown(): Promise<void> {
    return Promise.resolve();
  }

  #keysOf(key: LockKey): readonly string[] {
    const keys = listKeys(key).map((single) => lockKeys(noopKeySpace, single, false).holder);
    if (keys.length === 0) throw new InvalidKeyError('A lock needs at least one key.');
    return keys;
  }

  #grant(key: LockKey, call: ResolvedLockCall): NoopLock {
    return this.#grants.grant(this.#keysOf(key), call);
  }
}

/**
 * Stands in for RedisLockModule in unit tests without Redis: every lock is granted at once, methods with `@WithLock` run, and the handles behave, with
 * a fencing token that rises. Nothing keeps two callers apart, so a test of that needs a Redis.
 *
 * @param name the name of the module that it stands in for
 * @example  Test.createTestingModule({ providers: [Payments, ...provideNoopLock()] })
 */
export function provideNoopLock(name = 'default'): Provider[] {
  const token = getLockToken(name);
  return [
    { provide: token, useFactory: () => asService(new NoopLockService()) },
    ...(name === 'default' ? [{ provide: LockService, useExisting: token }] : []),
  ];
}

/** Private fields make the class nominal, so whatever has its whole public face still has to be called one. */
function asService(noop: PublicLockService): LockService {
  return noop as LockService;
}
