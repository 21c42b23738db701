import type { Duration } from '@redstart/redis-core';
import { LockLostError, type LockLossReason } from '../lock.errors.js';
import { lockTtlMs } from '../lock.options.js';
import type { Holding } from '../reentrancy/holding.js';

export interface NoopLockState {
  readonly keys: readonly string[];
  readonly token: string;
  readonly fencingToken: number;
  readonly ttlMs: number;
  /** Called once, when it is released. */
  readonly onRelease: () => void;
}

/**
 * A lock that nobody else could hold. It is *held* from the start, whatever the time, and *released* by `release`; it is never lost, but
 * its signal aborts when a term of a leader ends.
 */
export class NoopLock implements Holding {
  readonly keys: readonly string[];
  readonly key: string;
  readonly token: string;
  readonly fencingToken: number;
  readonly #abort = new AbortController();
  readonly #onRelease: () => void;
  #ttlMs: number;
  #released = false;
  #loss: LockLostError | undefined;

  constructor({ keys, token, fencingToken, ttlMs, onRelease }: NoopLockState) {
    this.keys = Object.freeze([...keys]);
    this.key = keys[0] ?? '';
    this.token = token;
    this.fencingToken = fencingToken;
    this.#ttlMs = ttlMs;
    this.#onRelease = onRelease;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get loss(): LockLostError | undefined {
    return this.#loss;
  }

  get ttlMs(): number {
    return this.#ttlMs;
  }

  get isHeld(): boolean {
    return !this.#released && this.#loss === undefined;
  }

  get current(): Holding {
    return this;
  }

  latest(): Promise<Holding> {
    return Promise.resolve(this);
  }

  get isReleased(): boolean {
    return this.#released;
  }

  get remainingMs(): number {
    return this.isHeld ? this.#ttlMs : 0;
  }

  assertHeld(): void {
    if (!this.isHeld) throw this.#loss ?? new LockLostError(this.key, 'released');
  }

  async extend(ttl?: Duration): Promise<void> {
    const ttlMs = ttl === undefined ? this.#ttlMs : lockTtlMs(ttl, 'lock.extend(ttl)');
    await Promise.resolve();
    this.assertHeld();
    this.#ttlMs = ttlMs;
  }

  /** Always `true`, as of a lock that was held until then. */
  release(): Promise<boolean> {
    if (!this.#released) {
      this.#released = true;
      this.#onRelease();
    }
    return Promise.resolve(true);
  }

  /** Ends this object; another one stands in its stead. */
  dismiss(): void {
    this.#released = true;
  }

  /** The end of a term, also by a release. */
  abort(reason: LockLossReason): void {
    if (this.#loss !== undefined) return;
    this.#loss = new LockLostError(this.key, reason);
    this.#abort.abort(this.#loss);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}
