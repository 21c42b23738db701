import type { AcquireReply } from '../lease.js';
import type { LockRuntime } from '../lock-runtime.js';
import { acquire, type AcquireTerms } from '../scripts/acquire.js';
import type { OwnedLock } from '../scripts/each-lock.js';
import { release } from '../scripts/release.js';
import { TickBatch, type Asker } from './tick-batch.js';

interface ReleaseTerms {
  readonly ttlMs: number;
}

/**
 * The mutexes that one tick of this process takes go to Redis in one script, and those that it lets go of in another one, which is sent first: a lock that was let
 * go of can be taken in the same tick.
 *
 * Per lock all that happens to it stays in the order in which it was asked for, since everything else that this library sends is preceded by `flush`.
 */
export class MutexBatches {
  readonly #releases: TickBatch<ReleaseTerms, boolean>;
  readonly #acquires: TickBatch<AcquireTerms, AcquireReply>;

  constructor(runtime: LockRuntime) {
    this.#releases = new TickBatch({
      send: (locks, { ttlMs }) => release(runtime, locks, ttlMs),
      alike: (some, others) => some.ttlMs === others.ttlMs,
    });
    this.#acquires = new TickBatch({
      send: (locks, terms) => acquire(runtime, locks, terms),
      alike: (some, others) => some.ttlMs === others.ttlMs && some.queue === others.queue,
      first: () => {
        this.#releases.flush();
      },
    });
  }

  /** One attempt. @param asker may be stopped until it is sent */
  acquire(lock: OwnedLock, ttlMs: number, queue: boolean, asker?: Asker): Promise<AcquireReply> {
    return this.#acquires.ask(lock, { ttlMs, queue, leastFence: 0 }, asker);
  }

  release(lock: OwnedLock, ttlMs: number): Promise<boolean> {
    return this.#releases.ask(lock, { ttlMs });
  }

  flush(): void {
    this.#acquires.flush();
    this.#releases.flush();
  }
}
