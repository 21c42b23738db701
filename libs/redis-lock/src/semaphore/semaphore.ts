import { checkInteger, checkKnownKeys } from '@redstart/redis-core';
import { contend, inTime, newAttempt } from '../contend.js';
import type { HeldLock } from '../held-lock.js';
import type { SemaphoreKeys } from '../keys.js';
import type { AcquireOutcome } from '../lease.js';
import type { Lock } from '../lock.js';
import { SemaphoreLimitError } from './semaphore.errors.js';
import type { LockRuntime } from '../lock-runtime.js';
import type { LockCallFallback, LockCallOptions, ResolvedLockCall } from '../lock.options.js';
import { runHolding } from '../run-holding.js';
import { inspectPermits } from '../scripts/semaphore/inspect-permits.js';
import { Permits } from './permits.js';

export interface SemaphoreOptions {
  /** How many permits there are, 1 to 1,000,000. The same for all callers, see {@link SemaphoreLimitError}. */
  readonly permits: number;
}

/** Options of one `acquire`, `tryAcquire` or `withPermit`. Those of a lock mean the same; `minHold` and `maxHold` are for all permits of the call. */
export interface PermitOptions extends LockCallOptions {
  /** How many permits to take, all at once or none: up to as many as there are, and at most 1,000. @default 1 */
  permits?: number;
}

/** One permit, or all that were taken by one call. A lease like that of a lock. */
export type Permit = Lock;

/** A semaphore as Redis shows it to everybody. */
export interface SemaphoreState {
  /** The Redis key. */
  readonly key: string;
  /** How many permits there are. */
  readonly permits: number;
  /** How many are not out. While somebody waits for more than that, they are not to be had. */
  readonly available: number;
  /** How many calls wait. */
  readonly waiting: number;
}

const mostPermits = 1_000_000;
/** Each is an entry of its own in Redis, written by one command for all. */
const mostPermitsOfOneCall = 1_000;

/**
 * A number of permits, each with a lease of its own by the server's clock. Made by {@link LockService.semaphore}.
 *
 * - First come, first served, also where some want several permits: nobody passes the one who has waited longest.
 * - A permit whose holder has died comes back when its lease is over. No ttl shortens the lease of another caller.
 * - What a release puts back is given to those who wait at once, by push.
 */
export class Semaphore {
  readonly #runtime: LockRuntime;
  readonly #keys: SemaphoreKeys;
  readonly #limit: number;

  /** @internal */
  constructor(runtime: LockRuntime, keys: SemaphoreKeys, options: SemaphoreOptions) {
    checkKnownKeys(options, ['permits'], 'semaphore(options)');
    this.#runtime = runtime;
    this.#keys = keys;
    this.#limit = checkInteger(options.permits, 'semaphore(options).permits', 1, mostPermits);
  }

  /**
   * Takes a permit, or several, and waits for them if need be.
   *
   * @returns the permit. Release it, or let `await using` do so; it isn't renewed unless `autoExtend` says so
   * @throws LockTimeoutError when there were too few within `waitTimeout` · SemaphoreLimitError when others use it with another number of permits ·
   *   LockNotAcquiredError when the application shuts down meanwhile · the reason of `options.signal` · RedisUnavailableError
   * @example
   * await using permit = await locks.semaphore('bank', { permits: 5 }).acquire({ ttl: '10s' });
   * @see one EVALSHA: GET, ZCARD, ZADD and a fencing token; while it waits as `LockService.acquire` does
   */
  async acquire(options: PermitOptions = {}): Promise<Permit> {
    return this.#acquire(options, 'acquire(options)', {});
  }

  /**
   * Takes a permit, or several, if they are free and nobody waits.
   *
   * @param options.waitTimeout waits that long before it answers `null`; by default not at all
   * @throws SemaphoreLimitError · RedisUnavailableError when Redis can't be reached: that is no `null`
   */
  async tryAcquire(options: PermitOptions = {}): Promise<Permit | null> {
    const { call, count } = this.#resolve(options, 'tryAcquire(options)', { waitTimeoutMs: 0 });
    const { lock } = await this.#attempt(call, count);
    return lock ?? null;
  }

  /**
   * Runs `work` with a permit, or several, renews their lease until the work has ended, and puts them back, whatever happens: as {@link LockService.withLock} does.
   *
   * @returns what `work` returned
   * @throws as {@link acquire} does · LockLostError · what `work` threw, which wins over a failing release
   */
  async withPermit<T>(options: PermitOptions, work: (permit: Permit) => Promise<T>): Promise<T> {
    return runHolding(await this.#acquire(options, 'withPermit(options)', { autoExtend: true }), work);
  }

  /** How many permits are not out, as of a moment ago: see {@link inspect}. */
  async available(): Promise<number> {
    return (await this.inspect()).available;
  }

  /**
   * How many permits are out, and how many calls wait, as of a moment ago: for dashboards, not for decisions.
   *
   * @throws SemaphoreLimitError when others use it with another number of permits · RedisUnavailableError
   * @see one EVALSHA: GET, ZCOUNT
   */
  async inspect(): Promise<SemaphoreState> {
    const { limit, taken, waiting } = await inspectPermits(this.#runtime, this.#keys);
    const inUse = taken + waiting > 0;
    if (inUse && limit !== undefined && limit !== this.#limit) {
      throw new SemaphoreLimitError(this.#keys.permits, this.#limit, limit);
    }
    return { key: this.#keys.permits, permits: this.#limit, available: Math.max(0, this.#limit - taken), waiting };
  }

  async #acquire(options: PermitOptions, where: string, fallback: Partial<LockCallFallback>): Promise<HeldLock> {
    const { call, count } = this.#resolve(options, where, fallback);
    return inTime(this.#runtime, () => this.#attempt(call, count));
  }

  #attempt(call: ResolvedLockCall, count: number): Promise<AcquireOutcome<HeldLock>> {
    const attempt = newAttempt(this.#runtime, call, 'semaphore');
    const wanted = { owner: attempt.owner, ttlMs: call.ttlMs, count, limit: this.#limit };
    return contend(this.#runtime, new Permits(this.#runtime, this.#keys, wanted), attempt, call);
  }

  #resolve({ permits = 1, ...options }: PermitOptions, where: string, fallback: Partial<LockCallFallback>) {
    const most = Math.min(this.#limit, mostPermitsOfOneCall);
    return {
      call: this.#runtime.resolveCall(options, where, fallback),
      count: checkInteger(permits, `${where}.permits`, 1, most),
    };
  }
}
