import { HeldLock } from '../held-lock.js';
import type { HeldLockState } from '../held-lock-state.js';
import type { ReadWriteKeys } from '../keys.js';
import type { Lock } from '../lock.js';
import type { LockRuntime } from '../lock-runtime.js';
import { downgrade } from '../scripts/read-write/downgrade.js';
import { ReadSide } from './sides.js';

/** The write side of a read/write lock. See {@link ReadWriteLock.write}. */
export interface WriteLock extends Lock {
  /**
   * Goes on as a reader, with a full lease and the same token and fencing token: no other writer comes in between. Waiting readers are let in, unless
   * a writer waits. This object ends by it, whatever comes of it, so take the signal of the one that is returned.
   *
   * @returns the read lock; under `withWrite` it is released when the work ends
   * @throws LockLostError when it is not held any more · RedisUnavailableError when Redis can't tell, and neither side is held then
   * @see one EVALSHA: GET, DEL, ZADD, and with waiting readers PUBLISH
   */
  downgrade(): Promise<Lock>;
}

/** A write lock from its acquisition to its end: see {@link HeldLock}. A downgrade ends it as a release does. */
export class HeldWriteLock extends HeldLock implements WriteLock {
  readonly #asReader: ReadSide;
  readonly #downgrade: (ttlMs: number) => Promise<boolean>;

  constructor(runtime: LockRuntime, keys: ReadWriteKeys, owner: string, state: HeldLockState) {
    super(runtime, state);
    this.#asReader = new ReadSide(runtime, keys, owner, state.ttlMs);
    this.#downgrade = (ttlMs) => downgrade(runtime, keys, owner, ttlMs);
  }

  async downgrade(): Promise<Lock> {
    return this.convert(this.#asReader, this.#downgrade);
  }
}
