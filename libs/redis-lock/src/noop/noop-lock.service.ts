import type { Provider } from '@nestjs/common';
import { InvalidKeyError, type Key } from '@redstart/redis-core';
import { inTime } from '../contend.js';
import { listKeys, lockKeys, type LockKey } from '../keys.js';
import type { Leadership } from '../leader/election.js';
import type { LeaderOptions } from '../leader/leader.options.js';
import type { Lock } from '../lock.js';
import { LockTimeoutError } from '../lock.errors.js';
import type { HoldingOptions, LockCallOptions, ResolvedHoldingCall } from '../lock.options.js';
import { LockService } from '../lock.service.js';
import type { TryOutcome } from '../lock-calls.js';
import { getLockToken } from '../lock.tokens.js';
import type { ReadWriteLock } from '../read-write/read-write-lock.js';
import { asHolding, enterOrTake, type HoldOutcome } from '../reentrancy/enter-or-take.js';
import { runHolding } from '../run-holding.js';
import type { Semaphore, SemaphoreOptions } from '../semaphore/semaphore.js';
import type { LockStats } from '../telemetry/lock-stats.js';
import { NoopGrants, noopKeySpace } from './noop-grants.js';
import { NoopLeadership } from './noop-leadership.js';
import { NoopReadWriteLock } from './noop-read-write.js';
import { NoopSemaphore } from './noop-semaphore.js';

/** The whole public face of LockService: one that gets a method more, and this class not, does not compile. */
type PublicLockService = Pick<LockService, keyof LockService>;

/** Every lock is free at once, for everybody but those whom their own caller keeps out. Wrong options and keys are refused as ever. */
class NoopLockService implements PublicLockService {
  readonly #grants = new NoopGrants();
  readonly #leaderships = new Set<NoopLeadership>();

  async withLock<T>(key: LockKey, options: HoldingOptions, work: (lock: Lock) => Promise<T>): Promise<T> {
    const startedAt = this.#grants.clock.now();
    const outcome = await this.#hold(key, this.#grants.resolveHolding(options, 'withLock(options)'));
    if (outcome.lock !== undefined) return runHolding(outcome.lock, work, { reentry: outcome.reentry });
    const waitedMs = Math.round(this.#grants.clock.now() - startedAt);
    throw new LockTimeoutError(outcome.key, waitedMs, outcome.holder, outcome.nesting);
  }

  async tryWithLock<T>(
    key: LockKey,
    options: HoldingOptions,
    work: (lock: Lock) => Promise<T>,
  ): Promise<TryOutcome<T>> {
    const call = this.#grants.resolveHolding(options, 'tryWithLock(options)', { waitTimeoutMs: 0 });
    const outcome = await this.#hold(key, call);
    if (outcome.lock === undefined) return { ran: false, key: outcome.key, nesting: outcome.nesting };
    return { ran: true, result: await runHolding(outcome.lock, work, { reentry: outcome.reentry }) };
  }

  async acquire(key: LockKey, options: LockCallOptions = {}): Promise<Lock> {
    const call = this.#grants.resolve(options, 'acquire(options)');
    return inTime(this.#grants, () => this.#grants.acquire(this.#keysOf(key), call));
  }

  async tryAcquire(key: LockKey, options: LockCallOptions = {}): Promise<Lock | null> {
    const call = this.#grants.resolve(options, 'tryAcquire(options)', { waitTimeoutMs: 0 });
    const { lock } = await this.#grants.acquire(this.#keysOf(key), call);
    return lock ?? null;
  }

  async isLocked(key: Key): Promise<boolean> {
    await this.inspect(key);
    return false;
  }

  async inspect(key: Key): Promise<null> {
    lockKeys(noopKeySpace, key, false);
    return Promise.resolve(null);
  }

  forceRelease(key: Key): Promise<boolean> {
    return this.isLocked(key);
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

  async #hold(key: LockKey, call: ResolvedHoldingCall): Promise<HoldOutcome> {
    const grants = this.#grants;
    const keys = this.#keysOf(key);
    if (call.reentrant) return enterOrTake(grants, keys, call, (left) => grants.acquire(keys, left));
    return asHolding(grants, keys, await grants.acquire(keys, call));
  }
}

/**
 * Stands in for RedisLockModule in unit tests without Redis: every lock is granted at once, methods with `@WithLock` run, and the handles behave, with
 * a fencing token that rises. Nested calls behave as they do with Redis: with `reentrant` they run under the lock of their caller, without they wait for it in vain, and the
 * sides of a read/write lock refuse each other. Nothing else keeps two callers apart, so a test of that needs a Redis.
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
