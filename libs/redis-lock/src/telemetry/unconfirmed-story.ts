import type { LockLossReason } from '../lock.errors.js';
import type { LockStory } from './lock-story.js';

/**
 * The story of a call whose lock is granted, but not yet its caller's: replicas have to confirm it.
 *
 * - *unconfirmed*: from the start. What happens to the lock is kept back; only of the attempt is told.
 * - *confirmed*: by `confirmed`, which tells that it was acquired, and what has happened since. From then on everything is told at once.
 * - *refused*: by `failed`. The lock never was anybody's, so nothing of it is ever told.
 */
export class UnconfirmedStory implements LockStory {
  #keptBack: (() => void)[] | undefined = [];

  constructor(private readonly story: LockStory) {}

  confirmed(): void {
    const keptBack = this.#keptBack ?? [];
    this.#keptBack = undefined;
    for (const tell of keptBack) tell();
  }

  contended(): void {
    this.story.contended();
  }

  inVain(): void {
    this.story.inVain();
  }

  failed(error: unknown): void {
    this.story.failed(error);
    // Its clearing up is none of a lock that somebody had.
    this.#keptBack = [];
  }

  acquired(): void {
    this.#tell(() => {
      this.story.acquired();
    });
  }

  extended(): void {
    this.#tell(() => {
      this.story.extended();
    });
  }

  extendFailed(): void {
    this.#tell(() => {
      this.story.extendFailed();
    });
  }

  lost(reason: LockLossReason): void {
    this.#tell(() => {
      this.story.lost(reason);
    });
  }

  released(wasHeld: boolean): void {
    this.#tell(() => {
      this.story.released(wasHeld);
    });
  }

  releaseFailed(): void {
    this.#tell(() => {
      this.story.releaseFailed();
    });
  }

  #tell(tell: () => void): void {
    if (this.#keptBack === undefined) tell();
    else this.#keptBack.push(tell);
  }
}
