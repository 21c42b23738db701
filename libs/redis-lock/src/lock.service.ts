import type { BeforeApplicationShutdown, OnModuleDestroy } from '@nestjs/common';
import { OptionsError, type Key, type RedisConnection } from '@redstart/redis-core';
import { inTime } from './contend.js';
import type { LockKey } from './keys.js';
import { Election, type Leadership } from './leader/election.js';
import type { LeaderOptions } from './leader/leader.options.js';
import type { Lock } from './lock.js';
import { LockCalls, mutexesOf, type TryOutcome } from './lock-calls.js';
import { LockNotAcquiredError, LockTimeoutError } from './lock.errors.js';
import { LockRuntime } from './lock-runtime.js';
import { lockState, type LockState } from './lock-state.js';
import type { Mutexes } from './mutexes.js';
import type { HoldingOptions, LockCallOptions, ResolvedLockOptions } from './lock.options.js';
import { ReadWriteLock } from './read-write/read-write-lock.js';
import { runHolding } from './run-holding.js';
import { Semaphore, type SemaphoreOptions } from './semaphore/semaphore.js';
import type { LockStats } from './telemetry/lock-stats.js';

/**
 * Locks on one Redis master: one holder at a time, first come first served, with fencing tokens and a signal when a lock is lost. With `nodes` on a quorum of
 * independent masters instead: then whoever waits tries again after random pauses, in no order, and an outage is a LockQuorumError wherever RedisUnavailableError is
 * named here. With `replicas` whatever acquires also throws LockNotReplicatedError.
 *
 * - *open*: from the start.
 * - *draining*: from `onModuleDestroy`. Leaders step down, whoever waits is refused, free locks can still be taken, held ones go on: requests in flight still end well.
 * - *closed*: when the connection closes, after the last request. What is still held then is aborted and released.
 */
export class LockService implements OnModuleDestroy, BeforeApplicationShutdown {
  readonly #runtime: LockRuntime;
  readonly #mutexes: Mutexes;
  readonly #calls: LockCalls;
  readonly #elections = new Set<Election>();
  #draining = false;

  /** @param nodes more than one: independent masters, `connection` the first of them, of which a quorum has to agree */
  constructor(
    connection: RedisConnection,
    options: ResolvedLockOptions,
    nodes: readonly RedisConnection[] = [connection],
  ) {
    this.#runtime = new LockRuntime(connection, options, nodes.slice(1));
    this.#mutexes = mutexesOf(this.#runtime);
    this.#calls = new LockCalls(this.#runtime, this.#mutexes);
    // Requests in flight may still take locks, so what is left is given back as late as Redis allows, and before any node has gone.
    let farewell: Promise<void> | undefined;
    for (const node of nodes) node.beforeClose(() => (farewell ??= this.#giveAllBack()));
  }

  /**
   * Runs `work` while holding a lock, renews it until the work has ended, and releases it, whatever happens.
   *
   * With `reentrant` it runs under a lock that its own caller holds, see {@link HoldingOptions.reentrant}; without, such a call waits for itself.
   *
   * A lock that is lost during the work aborts `lock.signal` and makes the call reject, once the work has ended: only the work can stop itself.
   *
   * @param key one {@link Key}, where a flat array is the parts of one key; or several locks as an array of arrays
   * @returns what `work` returned
   * @throws LockTimeoutError when it was not free within `waitTimeout` · LockLostError · PartialReentryError · RedisUnavailableError when Redis can't be
   *   reached · what `work` threw, which wins over a failing release
   * @example
   * await locks.withLock(['order', id], { waitTimeout: '2s' }, async (lock) => {
   *   await this.pay(id, { signal: lock.signal, fence: lock.fencingToken });
   * });
   * @see two EVALSHA when the lock is free, and one every third of the ttl
   */
  async withLock<T>(key: LockKey, options: HoldingOptions, work: (lock: Lock) => Promise<T>): Promise<T> {
    const { clock } = this.#runtime;
    const startedAt = clock.now();
    const call = this.#runtime.resolveHoldingCall(options, 'withLock(options)', { autoExtend: true });
    const outcome = await this.#calls.hold(key, call);
    if (outcome.lock !== undefined) return runHolding(outcome.lock, work, { reentry: outcome.reentry });
    throw new LockTimeoutError(outcome.key, Math.round(clock.now() - startedAt), outcome.holder, outcome.nesting);
  }

  /**
   * Takes a lock and waits for it if need be: in the order in which all callers on all hosts came, without polling.
   *
   * Safe against lost replies: every attempt of a call bears the same token, and a call that fails leaves nothing behind.
   *
   * @param key one {@link Key}, where a flat array is the parts of one key; or several locks as an array of arrays, which are taken at once where they share a slot and are free, else one by one in sorted order,
   *   all or none
   * @returns the lock. Release it, or let `await using` do so; it isn't renewed unless `autoExtend` says so
   * @throws LockTimeoutError when it was not free within `waitTimeout` · LockNotAcquiredError when the application shuts down meanwhile · the
   *   reason of `options.signal` · RedisUnavailableError
   * @example
   * await using lock = await locks.acquire(['order', id], { ttl: '10s', waitTimeout: '2s' });
   * @see one EVALSHA when it is free. When it is held: one more every third of the queue lease (1.7 s) as a sign of life, and one that confirms the hand-over
   */
  acquire(key: LockKey, options: LockCallOptions = {}): Promise<Lock> {
    return inTime(this.#runtime, () => this.#calls.take(key, this.#runtime.resolveCall(options, 'acquire(options)')));
  }

  /**
   * Takes a lock if it is free and nobody waits for it.
   *
   * @param options.waitTimeout waits that long before it answers `null`; by default not at all
   * @returns the lock, or `null` when somebody else holds it
   * @throws RedisUnavailableError when Redis can't be reached: that is no `null`
   * @see one EVALSHA
   */
  async tryAcquire(key: LockKey, options: LockCallOptions = {}): Promise<Lock | null> {
    const call = this.#runtime.resolveCall(options, 'tryAcquire(options)', { waitTimeoutMs: 0 });
    const { lock } = await this.#calls.take(key, call);
    return lock ?? null;
  }

  /**
   * Like {@link withLock}, but says `locked` instead of waiting, so that the outcome of `work` can't be mistaken for it. What `@WithLock` is built on.
   *
   * @param options.waitTimeout waits that long before it says `locked`; by default not at all
   */
  async tryWithLock<T>(
    key: LockKey,
    options: HoldingOptions,
    work: (lock: Lock) => Promise<T>,
  ): Promise<TryOutcome<T>> {
    const fallback = { waitTimeoutMs: 0, autoExtend: true };
    const call = this.#runtime.resolveHoldingCall(options, 'tryWithLock(options)', fallback);
    const outcome = await this.#calls.hold(key, call);
    if (outcome.lock === undefined) return { ran: false, key: outcome.key, nesting: outcome.nesting };
    return { ran: true, result: await runHolding(outcome.lock, work, { reentry: outcome.reentry }) };
  }

  /**
   * Stands for the leadership of something, from now on and again after each term, until it is stopped or the application ends.
   *
   * One candidate of all hosts leads at a time: the others queue, first come first served, and are woken by push. The leader's lock is renewed every third of its
   * ttl. When it steps down the next one is elected within milliseconds, when it is killed within the ttl, and when it loses the lock it is revoked by its own
   * clock before the lease can lapse; Redis being out of reach ends the term that way. Candidates outlive every outage: they try again for ever. What no lease can
   * rule out: a leader that sleeps through its own lease, or a Redis that forgets the lock, leaves two for a moment; so fence with `lock.fencingToken`.
   *
   * @param options.onElected a term begins; its promise, if it returns one, is the work of the leader and should end with `lock.signal`. That it ends, ends no
   *   term. When it throws or rejects, that is logged, the leadership is given up, and this candidate stands again after a pause (1 s, doubled up to 30 s)
   * @param options.onRevoked the term has ended, with the reason. What it throws is logged
   * @throws OptionsError · InvalidKeyError at once; nothing is thrown later on
   * @example
   * const leadership = locks.leader('scheduler', {
   *   onElected: (lock) => this.dispatchJobs({ signal: lock.signal, fence: lock.fencingToken }),
   *   onRevoked: (reason) => this.logger.warn(`No longer the scheduler: ${reason}`),
   * });
   * await leadership.stop();
   * @see as {@link acquire}: one EVALSHA every third of the ttl while leading, one every third of the queue lease while standing
   */
  leader(key: Key, options: LeaderOptions): Leadership {
    const election = new Election(this.#runtime, this.#mutexes, this.#runtime.keysOf(key), options);
    this.#elections.add(election);
    void election.ended.then(() => this.#elections.delete(election));
    if (this.#draining) void election.end('shutdown');
    return election;
  }

  /**
   * Whether anybody holds the lock, as of a moment ago: for dashboards, not for decisions.
   * @throws RedisUnavailableError
   * @see one EVALSHA
   */
  async isLocked(key: Key): Promise<boolean> {
    return (await this.inspect(key)) !== null;
  }

  /**
   * Who holds the lock, for how long, and how many wait.
   * @returns `null` when it is free
   * @throws RedisUnavailableError
   * @see one EVALSHA: GET, PTTL, GET, ZCOUNT
   */
  async inspect(key: Key): Promise<LockState | null> {
    const keys = this.#runtime.keysOf(key);
    const found = await this.#mutexes.inspect(keys);
    return found === undefined ? null : lockState(keys.holder, found);
  }

  /**
   * Takes the lock away from whoever holds it: for an operator who knows that the holder is gone. A holder that lives finds out at its next
   * renewal and goes on until then, so two may run at once.
   *
   * @returns whether it was held
   * @throws RedisUnavailableError
   * @see one EVALSHA: EXISTS, DEL, or with waiters SET and PUBLISH
   */
  async forceRelease(key: Key): Promise<boolean> {
    const forced = await this.#mutexes.forceRelease(this.#runtime.keysOf(key));
    if (forced) this.#runtime.telemetry.forced(this.#runtime.nodes.length === 1 ? 'mutex' : 'quorum');
    return forced;
  }

  /**
   * What this service has counted since it was created, in plain numbers. Every lock of the process, one event at a time: `onLockEvent`.
   * @see no command
   */
  stats(): LockStats {
    return this.#runtime.telemetry.stats();
  }

  /**
   * The read/write lock of this name: many readers, or one writer. Sends nothing by itself, and is another lock than the mutex of this name.
   *
   * @throws InvalidKeyError · OptionsError on a module over several `nodes`
   * @example
   * const price = await locks.readWrite(['prices', tenant]).withRead({}, () => this.prices.find(id));
   */
  readWrite(key: Key): ReadWriteLock {
    this.#refuseOverNodes('readWrite(key)');
    return new ReadWriteLock(this.#runtime, this.#runtime.readWriteKeysOf(key));
  }

  /**
   * The semaphore of this name, of which `permits` may be out at a time. Sends nothing by itself.
   *
   * @param options.permits how many there are, 1 to 1,000,000. All callers on all hosts have to name the same number
   * @throws OptionsError · InvalidKeyError
   * @example
   * await locks.semaphore('bank', { permits: 5 }).withPermit({}, () => this.bank.transfer(order));
   */
  semaphore(key: Key, options: SemaphoreOptions): Semaphore {
    this.#refuseOverNodes('semaphore(key)');
    return new Semaphore(this.#runtime, this.#runtime.semaphoreKeysOf(key), options);
  }

  async onModuleDestroy(): Promise<void> {
    this.#draining = true;
    await Promise.all([
      ...[...this.#elections].map((election) => election.end('shutdown')),
      this.#mutexes.close(({ key }) => new LockNotAcquiredError(key, 'shutdown')),
    ]);
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.#runtime.finishDuties();
  }

  #refuseOverNodes(what: string): void {
    if (this.#runtime.nodes.length === 1) return;
    throw new OptionsError(
      what,
      'is not there over several nodes. Use a RedisLockModule on one connection for it, under a name of its own.',
    );
  }

  async #giveAllBack(): Promise<void> {
    await Promise.all([...this.#runtime.held].map((lock) => lock.surrender()));
    await this.#runtime.finishDuties();
  }
}
