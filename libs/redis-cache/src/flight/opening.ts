import type { Clock } from '@redstart/redis-core';
import type { ResolvedCacheOptions } from '../cache.options.js';
import type { OpenLease } from '../scripts/store.script.js';
import { WaitBudget } from '../store/budget.js';
import type { CacheStore } from '../store/cache-store.js';
import type { LeaseWish } from '../store/leases.js';
import type { FoundEntry, Lookup, Reader } from '../store/reader.js';
import type { Version } from '../tags/version.js';
import type { Flight } from './flight.js';
import type { LoadRequest } from './load-request.js';
import type { WakeUps } from './wake-ups.js';

/** A load that may be stored: the lease, and the versions of before it. */
export interface Permit {
  readonly kind: 'permit';
  readonly lease: OpenLease;
  readonly versions: readonly Version[];
}

/**
 * How a load begins.
 *
 * - `permit`: the loader runs, and its value may be stored.
 * - `found`: another process has stored the value meanwhile.
 * - `alone`: the loader runs without a lease, since another process takes too long, or stores nothing. Not stored.
 * - `blind`: the same, since Redis does not answer.
 * - `failed`: the last loader has thrown, so none is run for `forMs` more.
 * - `busy`: another process loads, and this one does not wait for it.
 */
export type Opening =
  | Permit
  | { readonly kind: 'found'; readonly entry: FoundEntry }
  | { readonly kind: 'alone' }
  | { readonly kind: 'blind' }
  | { readonly kind: 'failed'; readonly forMs: number }
  | { readonly kind: 'busy'; readonly forMs: number };

export interface OpeningWish {
  readonly first: Exclude<Lookup, { kind: 'blind' }>;
  /** How long to wait for the load of another process; 0: not at all. */
  readonly waitMs: number;
  readonly heedsFailure: boolean;
  readonly background: boolean;
}

/** Nobody asks in the very moment in which a lease lapses: several processes wait for it. */
const spreadMs = 25;

/** Gets the right to load, or what another process has loaded. */
export class Openings {
  /** The leases of this process whose loads are under way. Another one of ours is left from an answer that was lost. */
  readonly #active = new Set<string>();

  constructor(
    private readonly store: CacheStore,
    private readonly reader: Reader,
    private readonly wakeUps: WakeUps,
    private readonly clock: Clock,
    private readonly options: ResolvedCacheOptions,
  ) {}

  async open(flight: Flight, request: LoadRequest, wish: OpeningWish, firstBudget: WaitBudget): Promise<Opening> {
    const ear = this.wakeUps.open(request.at);
    const until = this.clock.now() + wish.waitMs;
    let lookup = wish.first;
    let budget = firstBudget;
    let unstored = false;
    try {
      for (;;) {
        // Both at once: what has been invalidated before either of them has been answered is seen by the loader.
        const opened = this.store.leases.open(request.at, leaseWish(wish, lookup.header), budget);
        const snapshot = this.store.versions.snapshot(request.versionKeys, lookup.seen, budget);
        const asked = await opened;
        const versions = snapshot instanceof Promise ? await snapshot : snapshot;
        if (asked === undefined) return { kind: 'blind' };
        switch (asked.kind) {
          case 'open':
            return versions === undefined
              ? await this.#giveBack(request, asked.lease, budget)
              : this.#permit(asked.lease, versions);
          case 'failed':
            return { kind: 'failed', forMs: asked.leaseMs };
          case 'busy': {
            if (this.store.leases.isOwn(asked.token) && !this.#active.has(asked.token)) {
              await this.store.leases.release(request.at, asked.token, 'gone', budget);
              continue;
            }
            if (wish.background) return { kind: 'busy', forMs: asked.leaseMs };
            request.onPause?.();
            const leftMs = until - this.clock.now();
            if (unstored || leftMs <= 0) return { kind: 'alone' };
            unstored = (await ear.wait(Math.min(asked.leaseMs + 1 + Math.random() * spreadMs, leftMs))) === 'unstored';
            budget = this.#budget(); // That wait was for another process, not for Redis.
          }
        }
        const next = await this.#look(flight, request, budget);
        if (next.kind === 'fresh') return { kind: 'found', entry: next };
        if (next.kind === 'blind') return { kind: 'blind' };
        lookup = next;
      }
    } finally {
      ear.close();
    }
  }

  /** The load is over, with or without an answer of Redis. */
  end({ token }: OpenLease): void {
    this.#active.delete(token);
  }

  #permit(lease: OpenLease, versions: readonly Version[]): Permit {
    this.#active.add(lease.token);
    return { kind: 'permit', lease, versions };
  }

  /** Nothing can be stored that nobody knows the versions of. */
  async #giveBack({ at }: LoadRequest, { token }: OpenLease, budget: WaitBudget): Promise<Opening> {
    await this.store.leases.release(at, token, 'unstored', budget);
    return { kind: 'blind' };
  }

  /** Whoever asks while this is under way may have asked after an invalidation, and has to look for himself. */
  async #look(flight: Flight, request: LoadRequest, budget: WaitBudget): Promise<Lookup> {
    flight.loadingAt = this.clock.now();
    const lookup = await this.reader.look(request, budget);
    if (lookup.kind !== 'fresh') flight.loadingAt = Infinity;
    return lookup;
  }

  #budget(): WaitBudget {
    return new WaitBudget(this.clock, this.options.budgetMs);
  }
}

function leaseWish({ background, waitMs, heedsFailure }: OpeningWish, header: Buffer): LeaseWish {
  return { header, waits: !background && waitMs > 0, heedsFailure };
}
