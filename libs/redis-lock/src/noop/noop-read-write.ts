import type { Key } from '@redstart/redis-core';
import { readWriteKeys } from '../keys.js';
import type { Lock } from '../lock.js';
import type { LockCallOptions } from '../lock.options.js';
import { sideHeldInFlow } from '../read-write/flow.js';
import { ReadWriteNestingError } from '../read-write/read-write.errors.js';
import type { ReadWriteLock, ReadWriteState } from '../read-write/read-write-lock.js';
import type { WriteLock } from '../read-write/write-lock.js';
import { runHolding } from '../run-holding.js';
import type { NoopGrants } from './noop-grants.js';
import { noopKeySpace } from './noop-grants.js';
import type { SideAround } from '../reentrancy/frames.js';
import type { Holding } from '../reentrancy/holding.js';
import { NoopLock, type NoopLockState } from './noop-lock.js';

/** Ends by its downgrade, after which the read side stands in its stead. */
class NoopWriteLock extends NoopLock implements WriteLock {
  readonly #state: NoopLockState;
  #reader: NoopLock | undefined;

  constructor(state: NoopLockState) {
    super(state);
    this.#state = state;
  }

  override get current(): Holding {
    return this.#reader ?? this;
  }

  override latest(): Promise<Holding> {
    return Promise.resolve(this.current);
  }

  async downgrade(): Promise<Lock> {
    await Promise.resolve();
    this.assertHeld();
    this.dismiss();
    this.#reader = new NoopLock({ ...this.#state, ttlMs: this.ttlMs });
    return this.#reader;
  }
}

/** Both sides are free for everybody at any time, except under `withRead` and `withWrite` of the same flow of calls. */
export class NoopReadWriteLock implements Pick<ReadWriteLock, keyof ReadWriteLock> {
  readonly #grants: NoopGrants;
  readonly #key: string;

  constructor(grants: NoopGrants, key: Key) {
    this.#grants = grants;
    this.#key = readWriteKeys(noopKeySpace, key, false).holder;
  }

  async read(options: LockCallOptions = {}): Promise<Lock> {
    return Promise.resolve(this.#read(options, 'read(options)'));
  }

  async write(options: LockCallOptions = {}): Promise<WriteLock> {
    return Promise.resolve(this.#write(options, 'write(options)'));
  }

  async tryRead(options: LockCallOptions = {}): Promise<Lock> {
    return Promise.resolve(this.#read(options, 'tryRead(options)'));
  }

  async tryWrite(options: LockCallOptions = {}): Promise<WriteLock> {
    return Promise.resolve(this.#write(options, 'tryWrite(options)'));
  }

  async withRead<T>(options: LockCallOptions, work: (lock: Lock) => Promise<T>): Promise<T> {
    return runHolding(this.#read(options, 'withRead(options)'), work, { side: this.#sideAround });
  }

  async withWrite<T>(options: LockCallOptions, work: (lock: WriteLock) => Promise<T>): Promise<T> {
    return runHolding(this.#write(options, 'withWrite(options)'), work, { side: this.#sideAround });
  }

  inspect(): Promise<ReadWriteState> {
    return Promise.resolve({
      key: this.#key,
      writer: undefined,
      readers: 0,
      remainingMs: 0,
      waitingWriters: 0,
      waitingReaders: 0,
    });
  }

  get #sideAround(): SideAround {
    return { host: this.#grants, owner: '', isWriter: (lock) => lock instanceof NoopWriteLock };
  }

  #read(options: LockCallOptions, where: string): NoopLock {
    const call = this.#grants.resolve(options, where);
    const held = sideHeldInFlow(this.#grants, this.#key);
    if (held?.side === 'write') this.#grants.refuse(new ReadWriteNestingError(this.#key, 'write', 'read'));
    return this.#grants.grant([this.#key], call);
  }

  #write(options: LockCallOptions, where: string): NoopWriteLock {
    const call = this.#grants.resolve(options, where);
    const held = sideHeldInFlow(this.#grants, this.#key);
    if (held !== undefined) this.#grants.refuse(new ReadWriteNestingError(this.#key, held.side, 'write'));
    return new NoopWriteLock(this.#grants.take([this.#key], call));
  }
}
