/** What a LockService has counted since it was created, in this process. One call counts as one, however many keys it locks. */
export interface LockStats {
  /** Calls that have asked for a lock. */
  readonly attempts: number;
  /** Of those: found it held by somebody else, at least at first. */
  readonly contended: number;
  /** Of the attempts: got it. */
  readonly acquired: number;
  /** Of the attempts: waited in vain. */
  readonly timeouts: number;
  /** Of the attempts: did not wait, since it was held. */
  readonly refused: number;
  /** Of the attempts: an outage, an aborted signal, a shutdown or an error ended them. */
  readonly failed: number;
  /** Of the attempts: still on their way. */
  readonly pending: number;
  /** Nested calls with `reentrant` that ran under a lock which was held already. They are no attempts. */
  readonly reentered: number;
  /** Extensions that Redis has confirmed: renewals, calls of `extend`, and confirmations of a hand-over. */
  readonly extended: number;
  /** Extensions that failed. The lock is held until its deadline all the same. */
  readonly extendFailed: number;
  /** Of the acquired: released by their holder while held. */
  readonly released: number;
  /** Of the acquired: lost. */
  readonly lost: number;
  /** Of the acquired: their release failed, so the lease had to lapse. */
  readonly releaseFailed: number;
  /** Of the acquired: held now. */
  readonly held: number;
  /** Locks that `forceRelease` has taken away from somebody. */
  readonly forced: number;
  /** How long the acquired ones were waited for, all together. */
  readonly waitedMs: number;
  /** How long the released and the lost ones were held, all together. */
  readonly heldMs: number;
}

type Counted = Exclude<keyof LockStats, 'pending' | 'held'>;

/** The counters behind `stats()`. */
export class LockCounters {
  readonly #counts: Record<Counted, number> = {
    attempts: 0,
    contended: 0,
    acquired: 0,
    timeouts: 0,
    refused: 0,
    failed: 0,
    reentered: 0,
    extended: 0,
    extendFailed: 0,
    released: 0,
    lost: 0,
    releaseFailed: 0,
    forced: 0,
    waitedMs: 0,
    heldMs: 0,
  };

  add(name: Counted, amount = 1): void {
    this.#counts[name] += amount;
  }

  snapshot(): LockStats {
    const { attempts, acquired, timeouts, refused, failed, released, lost, releaseFailed } = this.#counts;
    return {
      ...this.#counts,
      pending: attempts - acquired - timeouts - refused - failed,
      held: acquired - released - lost - releaseFailed,
    };
  }
}
