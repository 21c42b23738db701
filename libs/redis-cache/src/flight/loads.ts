import { AsyncLocalStorage } from 'node:async_hooks';
import { MethodCancelledError, UnsupportedValueError } from '@redstart/redis-core';
import { CacheCycleError } from '../cache.errors.js';
import type { StatsCounter } from '../cache.stats.js';
import type { EntryCodec } from '../entry/entry-codec.js';
import type { EntryKeys } from '../keys.js';
import type { WaitBudget } from '../store/budget.js';
import type { CacheStore, Freshness } from '../store/cache-store.js';
import type { OpenLease } from '../scripts/store.script.js';
import { Flight, type Landing } from './flight.js';

/** What is to be loaded, and how. */
export interface LoadRequest {
  readonly at: EntryKeys;
  readonly ttlMs: number;
  readonly load: () => Promise<unknown>;
  readonly unless: (value: unknown) => boolean;
}

/** The value, or word that the caller has to look again: what it would have got may be older than its call. */
export type LoadOutcome = { readonly value: unknown } | 'look-again';

/**
 * Loads every value once, however many callers of this process want it at the same time, and stores it unless it has become stale.
 *
 * A value is stale when somebody has changed or deleted it since its load began: in this process the flight is taken out of the map, in
 * another one the lease in Redis is gone. A stale value is not stored. Callers that were there before the loader started get it all the
 * same, since they asked before the change was complete; those that came later look again.
 */
export class Loads {
  readonly #flights = new Map<string, Flight>();
  /** The flight whose loader is running, in its asynchronous context. */
  readonly #current = new AsyncLocalStorage<Flight>();

  constructor(
    private readonly store: CacheStore,
    private readonly codec: EntryCodec,
    private readonly stats: StatsCounter,
  ) {}

  /**
   * @param blind Redis could not be asked, so nothing will be stored
   * @throws CacheCycleError · whatever the loader throws, to all who share it
   */
  async load(request: LoadRequest, budget: WaitBudget, blind: boolean): Promise<LoadOutcome> {
    const flight = this.#flights.get(request.at.value);
    return flight === undefined ? this.#lead(request, budget, blind) : this.#join(flight);
  }

  /** Takes the loads under way for a value out: what they have read may be older than what their caller is about to do. */
  supersede(key: string): void {
    const flight = this.#flights.get(key);
    if (flight === undefined) return;
    flight.supersede();
    this.#flights.delete(key);
  }

  async #lead(request: LoadRequest, budget: WaitBudget, blind: boolean): Promise<LoadOutcome> {
    const flight = new Flight(request.at.value);
    this.#flights.set(flight.key, flight);
    flight.start(async () => {
      try {
        return await this.#fly(flight, request, budget, blind);
      } finally {
        if (!flight.superseded) this.#flights.delete(flight.key);
      }
    });
    const { value } = await flight.landingFor(this.#current.getStore());
    return { value };
  }

  async #join(flight: Flight): Promise<LoadOutcome> {
    const waiter = this.#current.getStore();
    if (waiter !== undefined && flight.dependsOn(waiter)) throw new CacheCycleError(flight.key);
    const late = flight.loading;
    try {
      const { sharedWith, copy } = await flight.landingFor(waiter);
      return sharedWith === 'none' || (sharedWith === 'early' && late) ? 'look-again' : { value: copy() };
    } catch (error) {
      // The subscriber of an Observable left: that is the end of its call, not of those who shared the load.
      if (error instanceof MethodCancelledError) return 'look-again';
      throw error;
    }
  }

  async #fly(flight: Flight, request: LoadRequest, budget: WaitBudget, blind: boolean): Promise<Landing> {
    const opened = blind ? { kind: 'blind' as const } : await this.store.openLease(request.at, budget);
    if (opened.kind === 'found') {
      // Whoever joined while the answer was on its way may have asked after a deletion: it looks for itself.
      return { value: opened.entry.value, sharedWith: 'none', copy: () => opened.entry.value };
    }
    const lease = opened.kind === 'open' ? opened.lease : undefined;
    flight.loading = true;
    const value = await this.#run(flight, request, lease);
    const snapshot = this.#snapshot(request.at, value);
    const freshness = await this.#land(flight, request, budget, lease, value, snapshot);
    if (freshness === 'stale') this.stats.count('staleLoads');
    return {
      value,
      sharedWith: freshness === 'stale' ? 'early' : 'all',
      copy: () => (snapshot === undefined ? value : this.codec.revive(snapshot)),
    };
  }

  async #run(flight: Flight, { at, load }: LoadRequest, lease: OpenLease | undefined): Promise<unknown> {
    this.stats.count('loads');
    const renewal =
      lease &&
      this.store.keep(at, lease, () => {
        renewal?.stop();
      });
    try {
      return await this.#current.run(flight, load);
    } catch (error) {
      this.stats.count('loadErrors');
      throw error;
    } finally {
      renewal?.stop();
    }
  }

  /** The value as it was loaded: nobody has had a chance to change it yet. */
  #snapshot(at: EntryKeys, value: unknown): Buffer | undefined {
    try {
      return this.codec.snapshot(value);
    } catch (error) {
      if (!(error instanceof UnsupportedValueError)) throw error;
      this.store.refused(at, error);
      return undefined;
    }
  }

  async #land(
    flight: Flight,
    { at, ttlMs, unless }: LoadRequest,
    budget: WaitBudget,
    lease: OpenLease | undefined,
    value: unknown,
    snapshot: Buffer | undefined,
  ): Promise<Freshness> {
    if (isSuperseded(flight)) return 'stale';
    if (lease === undefined) return 'unknown';
    if (snapshot === undefined || unless(value)) return this.store.freshness(at, lease, budget);
    const payload = await this.codec.pack(snapshot);
    // Asked once more, because packing takes a while and nothing may be sent behind the back of a `set`.
    return isSuperseded(flight) ? 'stale' : this.store.commit(at, { payload, ttlMs }, lease, budget);
  }
}

/** A function, because the compiler takes a property that was false once for false ever after, whatever is awaited in between. */
function isSuperseded(flight: Flight): boolean {
  return flight.superseded;
}
