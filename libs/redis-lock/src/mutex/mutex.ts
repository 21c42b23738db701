import type { LockKeys } from '../keys.js';
import type { AcquireReply, Contender } from '../lease.js';
import type { LockRuntime } from '../lock-runtime.js';
import { reacquire } from '../scripts/acquire.js';
import { giveUp } from '../scripts/give-up.js';
import { keepFor } from '../scripts/release.js';
import type { Asker } from './tick-batch.js';

/** One owner at one mutex. */
export class Mutex implements Contender {
  readonly key: string;

  constructor(
    private readonly runtime: LockRuntime,
    readonly keys: LockKeys,
    readonly owner: string,
    private readonly ttlMs: number,
  ) {
    this.key = keys.holder;
  }

  get channel(): string {
    return this.keys.wake + this.runtime.mailbox;
  }

  acquire(queue: boolean, asker?: Asker): Promise<AcquireReply> {
    return this.runtime.mutexes.acquire(this, this.ttlMs, queue, asker);
  }

  /** Takes it again if it is still the owner's or free: with a full lease, and a fencing token that is at least this. */
  reacquire(leastFence: number): Promise<AcquireReply> {
    return reacquire(this.runtime, this, this.ttlMs, leastFence);
  }

  extend(ttlMs: number): Promise<boolean> {
    return this.runtime.extensions.extend({ key: this.key, owner: this.owner, ttlMs });
  }

  release(keepMs: number): Promise<boolean> {
    return keepMs === 0
      ? this.runtime.mutexes.release(this, this.ttlMs)
      : keepFor(this.runtime, this, this.ttlMs, keepMs);
  }

  giveUp(): Promise<boolean> {
    return giveUp(this.runtime, this.keys, this.owner, this.ttlMs);
  }
}
