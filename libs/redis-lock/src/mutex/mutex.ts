import type { LockKeys } from '../keys.js';
import type { AcquireReply, Contender } from '../lease.js';
import type { LockRuntime } from '../lock-runtime.js';
import { acquire } from '../scripts/acquire.js';
import { giveUp } from '../scripts/give-up.js';
import { release } from '../scripts/release.js';

/** One owner at one mutex. */
export class Mutex implements Contender {
  readonly key: string;
  readonly channel: string;

  constructor(
    private readonly runtime: LockRuntime,
    readonly keys: LockKeys,
    readonly owner: string,
    private readonly ttlMs: number,
  ) {
    this.key = keys.holder;
    this.channel = keys.wake + runtime.mailbox;
  }

  /** @param leastFence the fencing token is to be at least this, for locks that are taken together */
  acquire(queue: boolean, leastFence = 0): Promise<AcquireReply> {
    return acquire(this.runtime, this.keys, { owner: this.owner, ttlMs: this.ttlMs, queue, leastFence });
  }

  extend(ttlMs: number): Promise<boolean> {
    return this.runtime.extensions.extend({ key: this.key, owner: this.owner, ttlMs });
  }

  release(keepMs: number): Promise<boolean> {
    return release(this.runtime, this.keys, this.owner, this.ttlMs, keepMs);
  }

  giveUp(): Promise<boolean> {
    return giveUp(this.runtime, this.keys, this.owner, this.ttlMs);
  }
}
