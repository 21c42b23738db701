import {
  bindMethod,
  checkKnownKeys,
  checkOneOf,
  checkText,
  type Duration,
  type KeyedMethodDecorator,
} from '@redstart/redis-core';
import type { LockKey } from '../keys.js';
import type { Lock } from '../lock.js';
import { LockNotAcquiredError } from '../lock.errors.js';
import { resolveHoldingCall, type HoldingOptions, type LockCallOptions } from '../lock.options.js';
import type { LockService } from '../lock.service.js';
import { getLockToken } from '../lock.tokens.js';

export interface WithLockOptions extends Pick<LockCallOptions, 'minHold' | 'maxHold' | 'label'> {
  /** How long the lock lives without renewal; it is renewed while the method runs. @default that of the module */
  ttl?: Duration;
  /** How long to wait for a held lock. @default that of the module with `onLocked: 'wait'`, otherwise 0 */
  waitTimeout?: Duration;
  /**
   * What to do when somebody else holds the lock, and still does after `waitTimeout`.
   * - `wait`: reject with LockTimeoutError (503 over HTTP).
   * - `throw`: reject with LockNotAcquiredError (409 over HTTP).
   * - `skip`: don't run the method and return `undefined`.
   * @default 'wait'
   */
  onLocked?: 'wait' | 'skip' | 'throw';
  /**
   * Runs under the lock that the method was called under, when it has all of these keys; nested calls of one call take turns. See `withLock`.
   * @default false
   */
  reentrant?: boolean;
  /** Which RedisLockModule to use. @default 'default' */
  name?: string;
}

const known = ['ttl', 'waitTimeout', 'minHold', 'maxHold', 'label', 'reentrant', 'onLocked', 'name'];

/**
 * Runs the method while holding a lock, as {@link LockService.withLock} does.
 *
 * For methods of any class that Nest builds: controllers, services, request-scoped providers, inherited methods; above or below other decorators. The
 * key function gets the arguments of the method: write their types, the compiler holds the method to them. `currentLock()` is the lock.
 *
 * A method that returns an Observable takes the lock anew for each subscriber, and holds it until that Observable completes, fails or is unsubscribed from, which also
 * ends the wait. When the lock is lost, the source is cancelled and the subscriber gets LockLostError at once: a promise would have to heed
 * `currentLock().signal` for that.
 *
 * @param key the key, or what makes it of the arguments; several locks are an array of arrays
 * @throws OptionsError where the class is defined. The method rejects as `withLock` does, and with LockNotAcquiredError under `onLocked: 'throw'`
 * @example
 * @WithLock((id: string) => ['order', id], { waitTimeout: '2s' })
 * async pay(id: string, amount: number): Promise<Receipt> { ... }
 */
export function WithLock<A extends unknown[] = []>(
  key: LockKey | ((...args: A) => LockKey),
  options: WithLockOptions = {},
): KeyedMethodDecorator<A> {
  checkKnownKeys(options, known, '@WithLock(options)');
  const { name, onLocked: rawOnLocked = 'wait', ...rest } = options;
  const onLocked = checkOneOf(rawOnLocked, '@WithLock(options).onLocked', ['wait', 'skip', 'throw']);
  const call: HoldingOptions = rest;
  resolveHoldingCall(call, { ttlMs: 0, waitTimeoutMs: 0, autoExtend: true, label: undefined }, '@WithLock(options)');
  if (name !== undefined) checkText(name, '@WithLock(options).name');

  return bindMethod<LockService, A>({
    decorator: '@WithLock',
    runtime: getLockToken(name),
    module: 'RedisLockModule.forRoot()',
    async around(locks, { args, signal }, proceed) {
      const lockKey = typeof key === 'function' ? key(...args) : key;
      const options = signal === undefined ? call : { ...call, signal };
      // An Observable can be ended by whoever knows that its lock is lost; a promise can't.
      const work = (lock: Lock) => proceed(signal && lock.signal);
      if (onLocked === 'wait') return locks.withLock(lockKey, options, work);
      const outcome = await locks.tryWithLock(lockKey, options, work);
      if (outcome.ran) return outcome.result;
      if (onLocked === 'throw') throw new LockNotAcquiredError(outcome.key, 'held', outcome.nesting);
      return undefined;
    },
  });
}
