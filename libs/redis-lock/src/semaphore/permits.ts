import type { SemaphoreKeys } from '../keys.js';
import type { AcquireReply, Contender } from '../lease.js';
import type { LockRuntime } from '../lock-runtime.js';
import { acquirePermits } from '../scripts/semaphore/acquire-permits.js';
import { giveUpPermits, releasePermits } from '../scripts/semaphore/release-permits.js';

export interface PermitsWanted {
  readonly owner: string;
  readonly ttlMs: number;
  /** How many to take, all at once. */
  readonly count: number;
  /** How many there are. */
  readonly limit: number;
}

/** One owner at some permits of a semaphore. */
export class Permits implements Contender {
  readonly key: string;
  readonly owner: string;
  readonly channel: string;

  constructor(
    private readonly runtime: LockRuntime,
    private readonly keys: SemaphoreKeys,
    private readonly wanted: PermitsWanted,
  ) {
    this.key = keys.permits;
    this.owner = wanted.owner;
    this.channel = keys.wake + runtime.mailbox;
  }

  /** @throws SemaphoreLimitError */
  acquire(queue: boolean): Promise<AcquireReply> {
    return acquirePermits(this.runtime, this.keys, { ...this.wanted, queue });
  }

  extend(ttlMs: number): Promise<boolean> {
    const { key, owner } = this;
    const among = { permits: this.wanted.count, limit: this.keys.limit };
    return this.runtime.extensions.extend({ key, owner, ttlMs, among });
  }

  release(keepMs: number): Promise<boolean> {
    return releasePermits(this.runtime, this.keys, this.wanted, keepMs);
  }

  giveUp(): Promise<boolean> {
    return giveUpPermits(this.runtime, this.keys, this.wanted);
  }
}
