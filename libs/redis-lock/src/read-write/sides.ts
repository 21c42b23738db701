import type { ReadWriteKeys } from '../keys.js';
import type { AcquireReply, Contender } from '../lease.js';
import type { LockRuntime } from '../lock-runtime.js';
import { acquireRead } from '../scripts/read-write/acquire-read.js';
import { acquireWrite } from '../scripts/read-write/acquire-write.js';
import { giveUpReadWrite } from '../scripts/read-write/give-up.js';
import { releaseSide } from '../scripts/read-write/release.js';

/** One owner at one side of a read/write lock. */
abstract class Side implements Contender {
  readonly key: string;
  readonly channel: string;

  constructor(
    protected readonly runtime: LockRuntime,
    readonly keys: ReadWriteKeys,
    readonly owner: string,
    protected readonly ttlMs: number,
  ) {
    this.key = keys.holder;
    this.channel = keys.wake + runtime.mailbox;
  }

  abstract acquire(queue: boolean): Promise<AcquireReply>;
  abstract extend(ttlMs: number): Promise<boolean>;
  abstract release(keepMs: number): Promise<boolean>;

  giveUp(): Promise<boolean> {
    return giveUpReadWrite(this.runtime, this.keys, this.owner, this.ttlMs);
  }
}

export class ReadSide extends Side {
  /** @param beside an owner of the same flow of calls that reads already, if there is one */
  constructor(
    runtime: LockRuntime,
    keys: ReadWriteKeys,
    owner: string,
    ttlMs: number,
    private readonly beside?: string,
  ) {
    super(runtime, keys, owner, ttlMs);
  }

  acquire(queue: boolean): Promise<AcquireReply> {
    const { owner, ttlMs, beside } = this;
    return acquireRead(this.runtime, this.keys, { owner, ttlMs, queue, beside });
  }

  extend(ttlMs: number): Promise<boolean> {
    const { readers: key } = this.keys;
    return this.runtime.extensions.extend({ key, owner: this.owner, ttlMs, among: 'readers' });
  }

  release(keepMs: number): Promise<boolean> {
    return releaseSide(this.runtime, 'read', this.keys, this.owner, this.ttlMs, keepMs);
  }
}

export class WriteSide extends Side {
  acquire(queue: boolean): Promise<AcquireReply> {
    return acquireWrite(this.runtime, this.keys, { owner: this.owner, ttlMs: this.ttlMs, queue });
  }

  /** The writer stands in Redis as the holder of a mutex does, so both are renewed by one script. */
  extend(ttlMs: number): Promise<boolean> {
    return this.runtime.extensions.extend({ key: this.key, owner: this.owner, ttlMs });
  }

  release(keepMs: number): Promise<boolean> {
    return releaseSide(this.runtime, 'write', this.keys, this.owner, this.ttlMs, keepMs);
  }
}
