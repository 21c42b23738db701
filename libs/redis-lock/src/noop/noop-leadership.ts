import { Logger } from '@nestjs/common';
import type { Key } from '@redstart/redis-core';
import { lockKeys } from '../keys.js';
import type { Leadership } from '../leader/election.js';
import { resolveLeaderOptions, type LeaderOptions, type RevocationReason } from '../leader/leader.options.js';
import type { Lock } from '../lock.js';
import { noopKeySpace, noopOptions, type NoopGrants } from './noop-grants.js';
import { NoopLock } from './noop-lock.js';

/**
 * The only candidate. *Leading* from the next turn of the event loop on, until it is *stopped*, resigns by the release of its lock, or its work fails; it does
 * not stand again.
 */
export class NoopLeadership implements Leadership {
  readonly key: string;
  readonly #stop = new AbortController();
  readonly #options: ReturnType<typeof resolveLeaderOptions>;
  readonly #logger = new Logger('RedisLock');
  #lock: NoopLock | undefined;
  #work: Promise<unknown> = Promise.resolve();
  #ended: Promise<void> | undefined;

  constructor(grants: NoopGrants, key: Key, options: LeaderOptions) {
    this.key = lockKeys(noopKeySpace, key, false).holder;
    this.#options = resolveLeaderOptions(options, noopOptions, this.#stop.signal);
    setImmediate(() => {
      if (this.#ended === undefined) this.#lead(grants);
    });
  }

  get isLeader(): boolean {
    return this.lock !== undefined;
  }

  get lock(): Lock | undefined {
    return this.#lock?.isHeld === true ? this.#lock : undefined;
  }

  stop(): Promise<void> {
    return this.end('stopped');
  }

  end(reason: RevocationReason): Promise<void> {
    this.#ended ??= this.#end(reason);
    return this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #lead(grants: NoopGrants): void {
    const state = grants.take([this.key], this.#options.call);
    const lock = new NoopLock({
      ...state,
      onRelease: () => {
        state.onRelease();
        void this.end('resigned');
      },
    });
    this.#lock = lock;
    this.#work = Promise.resolve(lock)
      .then(this.#options.onElected)
      .catch((error: unknown) => {
        this.#log(error);
        void this.end('failed');
      });
  }

  async #end(reason: RevocationReason): Promise<void> {
    const lock = this.#lock;
    if (lock === undefined) return;
    lock.abort(reason === 'shutdown' ? 'shutdown' : 'released');
    try {
      await this.#options.onRevoked(reason);
    } catch (error) {
      this.#log(error);
    }
    if (reason === 'stopped' || reason === 'shutdown') await this.#work;
    await lock.release();
  }

  #log(error: unknown): void {
    this.#logger.error(`Leader of "${this.key}": ${error instanceof Error ? error.message : String(error)}`);
  }
}
