import type { Duration } from '@redstart/redis-core';
import type { HeldLock } from '../held-lock.js';
import type { Lock } from '../lock.js';
import { LockLostError } from '../lock.errors.js';
import type { RevocationReason } from './leader.options.js';

/**
 * One term of a leader: the lock as its work sees it.
 *
 * - *in office*: while the lock is held.
 * - *revoked*: by the loss of the lock, or by whoever ends the term. The signal has aborted. Final; the lock itself may be held a little longer, so that
 *   nobody else is elected while the work still comes to its end.
 */
export class Term implements Lock {
  readonly keys: readonly string[];
  readonly token: string;
  readonly fencingToken: number;
  readonly #lock: HeldLock;
  readonly #onRevoked: (reason: RevocationReason) => void;
  readonly #abort = new AbortController();
  #revoked: LockLostError | undefined;

  /**
   * @param lock held at this moment
   * @param onRevoked called once, when the signal has just aborted
   */
  constructor(lock: HeldLock, onRevoked: (reason: RevocationReason) => void) {
    this.keys = lock.keys;
    this.token = lock.token;
    this.fencingToken = lock.fencingToken;
    this.#lock = lock;
    this.#onRevoked = onRevoked;
    lock.signal.addEventListener('abort', () => {
      this.revoke(lock.loss?.reason ?? 'taken');
    });
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get isHeld(): boolean {
    return this.#lock.isHeld && this.#revoked === undefined;
  }

  get isRevoked(): boolean {
    return this.#revoked !== undefined;
  }

  get remainingMs(): number {
    return this.isHeld ? this.#lock.remainingMs : 0;
  }

  assertHeld(): void {
    if (!this.isHeld) throw this.#revoked ?? new LockLostError(this.#lock.key, 'released');
  }

  async extend(ttl?: Duration): Promise<void> {
    this.assertHeld();
    await this.#lock.extend(ttl);
    this.assertHeld();
  }

  /** Resigns. Does not wait for the work, which asks for it. */
  release(): Promise<boolean> {
    this.revoke('resigned');
    return this.#lock.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  revoke(reason: RevocationReason): void {
    if (this.#revoked !== undefined) return;
    this.#revoked =
      this.#lock.loss ?? new LockLostError(this.#lock.key, reason === 'shutdown' ? 'shutdown' : 'released');
    this.#abort.abort(this.#revoked);
    this.#onRevoked(reason);
  }
}
