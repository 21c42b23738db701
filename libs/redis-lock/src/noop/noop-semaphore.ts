import { checkInteger, checkKnownKeys, type Key } from '@redstart/redis-core';
import { semaphoreKeys } from '../keys.js';
import { runHolding } from '../run-holding.js';
import type { Permit, PermitOptions, Semaphore, SemaphoreOptions, SemaphoreState } from '../semaphore/semaphore.js';
import { noopKeySpace, type NoopGrants } from './noop-grants.js';
import type { NoopLock } from './noop-lock.js';

/** All permits are there for everybody at any time. */
export class NoopSemaphore implements Pick<Semaphore, keyof Semaphore> {
  readonly #grants: NoopGrants;
  readonly #key: string;
  readonly #limit: number;

  constructor(grants: NoopGrants, key: Key, options: SemaphoreOptions) {
    checkKnownKeys(options, ['permits'], 'semaphore(options)');
    this.#grants = grants;
    this.#key = semaphoreKeys(noopKeySpace, key, false).permits;
    this.#limit = checkInteger(options.permits, 'semaphore(options).permits', 1, 1_000_000);
  }

  async acquire(options: PermitOptions = {}): Promise<Permit> {
    return Promise.resolve(this.#grant(options, 'acquire(options)'));
  }

  async tryAcquire(options: PermitOptions = {}): Promise<Permit> {
    return Promise.resolve(this.#grant(options, 'tryAcquire(options)'));
  }

  async withPermit<T>(options: PermitOptions, work: (permit: Permit) => Promise<T>): Promise<T> {
    return runHolding(this.#grant(options, 'withPermit(options)'), work);
  }

  available(): Promise<number> {
    return Promise.resolve(this.#limit);
  }

  inspect(): Promise<SemaphoreState> {
    return Promise.resolve({ key: this.#key, permits: this.#limit, available: this.#limit, waiting: 0 });
  }

  #grant({ permits = 1, ...options }: PermitOptions, where: string): NoopLock {
    checkInteger(permits, `${where}.permits`, 1, Math.min(this.#limit, 1_000));
    return this.#grants.grant([this.#key], this.#grants.resolve(options, where));
  }
}
