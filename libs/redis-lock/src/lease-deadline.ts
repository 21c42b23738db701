import type { Clock } from '@redstart/redis-core';
import { leaseEnd } from './lease-time.js';

/**
 * Until when a lock is surely held, by this process' own clock. Every confirmed extension moves it, and one to a shorter lease already when it is sent: Redis
 * may carry it out from then on. Extensions may be answered in any order, or not at all. Who holds the lock watches it.
 */
export class LeaseDeadline {
  #validUntil = Infinity;
  /** When the newest confirmed extension was sent. Without it, a late answer to an older one would be taken for the latest news. */
  #latestSentAt = -Infinity;
  /** An extension that may have brought the end forward, until a later one is confirmed. Its own answer may get lost. */
  #shortened: { readonly sentAt: number; readonly validUntil: number } | undefined;

  /**
   * @param latest it never lies after this
   * @param onMoved called when it is set
   */
  constructor(
    private readonly clock: Clock,
    private readonly latest: number,
    private readonly onMoved: () => void,
  ) {}

  get validUntil(): number {
    return this.#validUntil;
  }

  get hasPassed(): boolean {
    return this.clock.now() >= this.#validUntil;
  }

  /** Whether it stands at its latest, so that no extension could have moved it any further. */
  get isLatest(): boolean {
    return this.#validUntil >= this.latest;
  }

  set(until: number): void {
    this.#validUntil = Math.min(until, this.latest);
    this.onMoved();
  }

  /** An extension is about to be sent. @returns when */
  extending(ttlMs: number): number {
    const sentAt = this.clock.now();
    const validUntil = leaseEnd(sentAt, ttlMs);
    if (validUntil < this.#validUntil) {
      this.#shortened = { sentAt, validUntil };
      this.set(validUntil);
    }
    return sentAt;
  }

  /** The extension that was sent then is confirmed. */
  extended(sentAt: number, ttlMs: number): void {
    if (sentAt < this.#latestSentAt) {
      // Overtaken, so Redis may have carried it out after the newer one.
      this.set(Math.min(this.#validUntil, leaseEnd(this.#latestSentAt, ttlMs)));
      return;
    }
    this.#latestSentAt = sentAt;
    if (this.#shortened !== undefined && this.#shortened.sentAt <= sentAt) this.#shortened = undefined;
    this.set(Math.min(leaseEnd(sentAt, ttlMs), this.#shortened?.validUntil ?? Infinity));
  }
}
