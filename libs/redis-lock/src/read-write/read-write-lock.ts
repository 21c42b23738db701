import { contend, inTime, newAttempt, type Attempt } from '../contend.js';
import type { HeldLock } from '../held-lock.js';
import type { ReadWriteKeys } from '../keys.js';
import type { AcquireOutcome } from '../lease.js';
import type { Lock } from '../lock.js';
import { ReadWriteNestingError } from './read-write.errors.js';
import type { LockRuntime } from '../lock-runtime.js';
import type { LockCallOptions, ResolvedLockCall } from '../lock.options.js';
import { parseOwner, type LockHolder } from '../owner.js';
import type { SideAround } from '../reentrancy/frames.js';
import { runHolding } from '../run-holding.js';
import { inspectReadWrite } from '../scripts/read-write/inspect.js';
import { sideHeldInFlow } from './flow.js';
import { ReadSide, WriteSide } from './sides.js';
import { HeldWriteLock, type WriteLock } from './write-lock.js';

/** A read/write lock as Redis shows it to everybody. */
export interface ReadWriteState {
  /** The Redis key. */
  readonly key: string;
  /** Who writes; `undefined` when nobody does, or when another program has written the key. */
  readonly writer: LockHolder | undefined;
  /** How many read. */
  readonly readers: number;
  /** How long it is held at most without a renewal: the longest lease of all holders; 0 when it is free. */
  readonly remainingMs: number;
  readonly waitingWriters: number;
  readonly waitingReaders: number;
}

/**
 * Any number of readers at a time, or one writer. Made by {@link LockService.readWrite}.
 *
 * - A writer that waits keeps new readers out, so writers don't starve. Writers come in in the order in which they came.
 * - When a writer leaves and none waits, all waiting readers come in at once: pushed by its release, without polling.
 * - Every holder has a lease of its own. Fencing tokens of both sides rise together.
 * - Under `withWrite`, a nested request for either side is refused, and so is one for write under `withRead`: it would wait for itself. A nested `read` under
 *   `withRead` comes in even if a writer waits.
 *
 * All calls take the options of the mutex, which mean the same; `minHold` of a write lock that is downgraded keeps its read side.
 */
export class ReadWriteLock {
  readonly #runtime: LockRuntime;
  readonly #keys: ReadWriteKeys;

  /** @internal */
  constructor(runtime: LockRuntime, keys: ReadWriteKeys) {
    this.#runtime = runtime;
    this.#keys = keys;
  }

  /**
   * Takes the read side, and waits for writers if need be: for the one that holds it, and for those that wait.
   *
   * @returns the lock. Release it, or let `await using` do so; it isn't renewed unless `autoExtend` says so
   * @throws LockTimeoutError when writers were in the way for all of `waitTimeout` · ReadWriteNestingError under `withWrite` of this lock · LockNotAcquiredError when the
   *   application shuts down meanwhile · the reason of `options.signal` · RedisUnavailableError
   * @see one EVALSHA: GET, ZADD and a fencing token; while it waits as `acquire` does
   */
  async read(options: LockCallOptions = {}): Promise<Lock> {
    const call = this.#runtime.resolveCall(options, 'read(options)');
    return inTime(this.#runtime, () => this.#read(newAttempt(this.#runtime, call, 'read'), call));
  }

  /**
   * Takes the write side, and waits for the holders and for the writers that came before.
   *
   * A flow of calls that took the read side by `read` waits for itself, until `waitTimeout`: one can't become a writer while one reads.
   *
   * @returns the lock, which can be downgraded. Release it, or let `await using` do so; it isn't renewed unless `autoExtend` says so
   * @throws LockTimeoutError · ReadWriteNestingError under `withRead` or `withWrite` of this lock · LockNotAcquiredError when the application shuts down meanwhile · the
   *   reason of `options.signal` · RedisUnavailableError
   * @see one EVALSHA: GET, EXISTS, SET and a fencing token; while it waits as `acquire` does
   */
  async write(options: LockCallOptions = {}): Promise<WriteLock> {
    const call = this.#runtime.resolveCall(options, 'write(options)');
    return inTime(this.#runtime, () => this.#write(newAttempt(this.#runtime, call, 'write'), call));
  }

  /**
   * Takes the read side if no writer holds it or waits for it.
   *
   * @param options.waitTimeout waits that long before it answers `null`; by default not at all
   * @throws ReadWriteNestingError · RedisUnavailableError when Redis can't be reached: that is no `null`
   */
  async tryRead(options: LockCallOptions = {}): Promise<Lock | null> {
    const call = this.#runtime.resolveCall(options, 'tryRead(options)', { waitTimeoutMs: 0 });
    const { lock } = await this.#read(newAttempt(this.#runtime, call, 'read'), call);
    return lock ?? null;
  }

  /**
   * Takes the write side if nobody holds either side or waits.
   *
   * @param options.waitTimeout waits that long before it answers `null`; by default not at all
   * @throws ReadWriteNestingError · RedisUnavailableError when Redis can't be reached: that is no `null`
   */
  async tryWrite(options: LockCallOptions = {}): Promise<WriteLock | null> {
    const call = this.#runtime.resolveCall(options, 'tryWrite(options)', { waitTimeoutMs: 0 });
    const { lock } = await this.#write(newAttempt(this.#runtime, call, 'write'), call);
    return lock ?? null;
  }

  /**
   * Runs `work` as a reader, renews its lease until the work has ended, and releases it, whatever happens: as {@link LockService.withLock} does.
   *
   * @returns what `work` returned
   * @throws as {@link read} does · LockLostError · what `work` threw, which wins over a failing release
   */
  async withRead<T>(options: LockCallOptions, work: (lock: Lock) => Promise<T>): Promise<T> {
    const call = this.#runtime.resolveCall(options, 'withRead(options)', { autoExtend: true });
    const attempt = newAttempt(this.#runtime, call, 'read');
    const lock = await inTime(this.#runtime, () => this.#read(attempt, call));
    return runHolding(lock, work, { side: this.#sideAround(attempt) });
  }

  /**
   * Runs `work` as the writer, renews its lease until the work has ended, and releases it, whatever happens, also what it was downgraded to.
   *
   * @returns what `work` returned
   * @throws as {@link write} does · LockLostError · what `work` threw, which wins over a failing release
   * @example
   * await prices.withWrite({}, async (lock) => {
   *   await this.update(prices, { fence: lock.fencingToken });
   *   const reading = await lock.downgrade();
   *   await this.publish(prices, { signal: reading.signal });
   * });
   */
  async withWrite<T>(options: LockCallOptions, work: (lock: WriteLock) => Promise<T>): Promise<T> {
    const call = this.#runtime.resolveCall(options, 'withWrite(options)', { autoExtend: true });
    const attempt = newAttempt(this.#runtime, call, 'write');
    const lock = await inTime(this.#runtime, () => this.#write(attempt, call));
    return runHolding(lock, work, { side: this.#sideAround(attempt) });
  }

  /**
   * Who writes, how many read, and how many wait, as of a moment ago: for dashboards, not for decisions.
   * @throws RedisUnavailableError
   * @see one EVALSHA: GET, PTTL, ZCOUNT
   */
  async inspect(): Promise<ReadWriteState> {
    const { writer, leaseMs, ...counts } = await inspectReadWrite(this.#runtime, this.#keys);
    return {
      key: this.#keys.holder,
      writer: writer === undefined ? undefined : parseOwner(writer),
      remainingMs: Math.max(0, leaseMs),
      ...counts,
    };
  }

  #sideAround({ owner }: Attempt): SideAround {
    return { host: this.#runtime, owner, isWriter: (lock) => lock instanceof HeldWriteLock };
  }

  async #read(attempt: Attempt, call: ResolvedLockCall): Promise<AcquireOutcome<HeldLock>> {
    const { holder: key } = this.#keys;
    const held = sideHeldInFlow(this.#runtime, key);
    if (held?.side === 'write') throw refused(attempt, new ReadWriteNestingError(key, 'write', 'read'));
    const side = new ReadSide(this.#runtime, this.#keys, attempt.owner, call.ttlMs, held?.owner);
    return contend(this.#runtime, side, attempt, call);
  }

  async #write(attempt: Attempt, call: ResolvedLockCall): Promise<AcquireOutcome<HeldWriteLock>> {
    const { holder: key } = this.#keys;
    const held = sideHeldInFlow(this.#runtime, key);
    if (held !== undefined) throw refused(attempt, new ReadWriteNestingError(key, held.side, 'write'));
    const side = new WriteSide(this.#runtime, this.#keys, attempt.owner, call.ttlMs);
    return contend(
      this.#runtime,
      side,
      attempt,
      call,
      (state) => new HeldWriteLock(this.#runtime, this.#keys, attempt.owner, state),
    );
  }
}

function refused({ story }: Attempt, error: ReadWriteNestingError): ReadWriteNestingError {
  story.failed(error);
  return error;
}
