import type { Duration } from '@redstart/redis-core';
import { LockLostError } from '../lock.errors.js';
import { lockTtlMs } from '../lock.options.js';
import type { Holding } from './holding.js';

/**
 * The use of a lock that is held already, by a nested call.
 *
 * - *held*: as long as the lock around it, whose token, signal and lease it has.
 * - *lost*: when that is lost, or released by its own holder.
 * - *released*: by `release`, which passes on the turn and leaves the lock around it alone.
 */
export class NestedLock implements Holding {
  readonly keys: readonly string[];
  readonly key: string;
  #end: { readonly held: boolean; readonly loss: LockLostError | undefined } | undefined;

  /**
   * @param around the lock, or the use of it, that this one is nested in
   * @param leave passes on the turn; called once
   */
  constructor(
    private readonly around: Holding,
    keys: readonly string[],
    private readonly leave: () => void,
  ) {
    this.keys = Object.freeze([...new Set(keys)].sort());
    this.key = this.keys[0] ?? around.key;
  }

  get token(): string {
    return this.around.token;
  }

  get fencingToken(): number {
    return this.around.fencingToken;
  }

  get signal(): AbortSignal {
    return this.around.signal;
  }

  get ttlMs(): number {
    return this.around.ttlMs;
  }

  get isHeld(): boolean {
    return this.#end === undefined && this.around.isHeld;
  }

  get current(): this {
    return this;
  }

  latest(): Promise<this> {
    return Promise.resolve(this);
  }

  get isReleased(): boolean {
    return this.#end !== undefined;
  }

  get remainingMs(): number {
    return this.#end === undefined ? this.around.remainingMs : 0;
  }

  get loss(): LockLostError | undefined {
    return this.#end === undefined ? this.#lossAround : this.#end.loss;
  }

  assertHeld(): void {
    if (this.#end !== undefined) throw this.#end.loss ?? new LockLostError(this.key, 'released');
    this.around.assertHeld();
  }

  /** Never shortens the lease of the lock around it. */
  async extend(ttl?: Duration): Promise<void> {
    const ttlMs = ttl === undefined ? 0 : lockTtlMs(ttl, 'lock.extend(ttl)');
    this.assertHeld();
    await this.around.extend(ttlMs > this.around.ttlMs ? ttl : undefined);
  }

  async release(): Promise<boolean> {
    if (this.#end === undefined) {
      this.#end = { held: this.around.isHeld, loss: this.#lossAround };
      this.leave();
    }
    return Promise.resolve(this.#end.held);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  get #lossAround(): LockLostError | undefined {
    return this.around.loss ?? (this.around.isReleased ? new LockLostError(this.key, 'released') : undefined);
  }
}
