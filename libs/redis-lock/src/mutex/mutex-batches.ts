import type { AcquireReply } from '../lease.js';
import type { LockRuntime } from '../lock-runtime.js';
import { acquire, type AcquireTerms } from '../scripts/acquire.js';
import type { OwnedLock } from '../scripts/each-lock.js';
import { release } from '../scripts/release.js';
import { TickBatch, type Asker } from './tick-batch.js';

interface ReleaseTerms {
  readonly ttlMs: number;
}

/** So many questions leave together at the end of a tick; of more, half. */
const fewestTogether = 16;

/**
 * The mutexes that one tick of this process takes go to Redis in one script, and those that it lets go of in another one, which is sent first: a lock that was let
 * go of can be taken in the same tick.
 *
 * A tick ends when all its microtasks have run. Of many questions only the older half leaves then, and the other with the end of the turn. From then on they come and go by
 * turns, so that Redis serves some while this process deals with the answers to the others; sent together, each would wait for the other.
 *
 * Per lock all that happens to it stays in the order in which it was asked for, since everything else that this library sends is preceded by `flush`.
 */
export class MutexBatches {
  readonly #releases: TickBatch<ReleaseTerms, boolean>;
  readonly #acquires: TickBatch<AcquireTerms, AcquireReply>;
  #endsWithTick = false;

  constructor(runtime: LockRuntime) {
    const onOpen = () => {
      if (this.#endsWithTick) return;
      this.#endsWithTick = true;
      process.nextTick(this.#endTick);
    };
    this.#releases = new TickBatch({
      send: (locks, { ttlMs }) => release(runtime, locks, ttlMs),
      alike: (some, others) => some.ttlMs === others.ttlMs,
      onOpen,
    });
    this.#acquires = new TickBatch({
      send: (locks, terms) => acquire(runtime, locks, terms),
      alike: (some, others) => some.ttlMs === others.ttlMs && some.queue === others.queue,
      first: () => {
        this.#releases.flush();
      },
      onOpen,
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

  readonly #endTick = (): void => {
    const asked = this.#releases.size + this.#acquires.size;
    if (asked <= fewestTogether) {
      this.#endTurn();
      return;
    }
    const half = Math.ceil(asked / 2);
    const sent = this.#releases.send(half);
    this.#acquires.send(half - sent);
    setImmediate(this.#endTurn);
  };

  readonly #endTurn = (): void => {
    this.#endsWithTick = false;
    this.flush();
  };
}
