import { AsyncLocalStorage } from 'node:async_hooks';
import { MethodCancelledError, type Clock } from '@redstart/redis-core';
import { CacheCycleError, CacheLoadFailedError } from '../cache.errors.js';
import type { ResolvedCacheOptions } from '../cache.options.js';
import type { StatsCounter } from '../cache.stats.js';
import { LoadNotes } from '../load/load-context.js';
import { WaitBudget } from '../store/budget.js';
import type { CacheStore } from '../store/cache-store.js';
import type { FoundEntry, Lookup } from '../store/reader.js';
import { Backoff } from './backoff.js';
import { Flight, isAsSeen, type Aborted, type Landing } from './flight.js';
import type { Landings, Loaded } from './landings.js';
import { isTaken, type Caller, type LoadRequest } from './load-request.js';
import type { Opening, Openings, Permit } from './opening.js';
import { withinPatience } from './patience.js';

/** The value, or word that the caller has to look again: what it would have got may be older than its call. */
export type LoadOutcome = { readonly value: unknown } | Aborted;

/** How a flight is to be begun. */
interface Departure {
  readonly lookup: Lookup;
  readonly budget: WaitBudget;
  readonly waitMs: number;
  readonly background: boolean;
  /** Something else may be served, so a loader that has just failed is left alone. */
  readonly heedsFailure: boolean;
}

/**
 * Loads every value once, however many callers of all processes want it at the same time, and stores it unless it has become stale.
 *
 * A value is stale when somebody has changed or deleted it since its load began: in this process the flight is taken out of the map, in
 * another one the lease in Redis is gone. A stale value is not stored. Callers that had asked before the loader started get it all the
 * same, since they asked before the change was complete; those that asked later look again. Invalidated tags and namespaces need no lease: what is stored names
 * the versions of before its load.
 */
export class Loads {
  readonly #flights = new Map<string, Flight>();
  /** The flight whose loader is running, in its asynchronous context. */
  readonly #current = new AsyncLocalStorage<Flight>();
  readonly #backoff: Backoff;

  constructor(
    private readonly store: CacheStore,
    private readonly openings: Openings,
    private readonly landings: Landings,
    private readonly stats: StatsCounter,
    private readonly clock: Clock,
    private readonly options: ResolvedCacheOptions,
  ) {
    this.#backoff = new Backoff(clock);
  }

  /**
   * @param lookup what the caller has found instead of a fresh value; `blind` ones are loaded, and not stored
   * @throws CacheCycleError · CacheLoadTimeoutError · CacheLoadFailedError · whatever the loader throws, to all who share it
   */
  load(request: LoadRequest, lookup: Lookup, caller: Caller, budget: WaitBudget): Promise<LoadOutcome> {
    const fallback = this.#fallback(request, lookup);
    const { softMs, hardMs } = request.options;
    const { since, signal } = caller;
    const hasFallback = fallback !== undefined;
    const patience = { key: request.at.value, since, softMs, hardMs, hasFallback, signal };
    const loading = withinPatience(
      this.#loadOrJoin(request, lookup, caller, budget, hasFallback),
      patience,
      this.clock,
    );
    if (fallback === undefined) return loading;
    return loading.catch((error: unknown) => {
      if (caller.signal?.aborted === true || error instanceof CacheCycleError) throw error;
      this.stats.count('staleOnError');
      return { value: fallback.value };
    });
  }

  /** Loads a value anew in the background, unless somebody does so already. */
  refresh(request: LoadRequest, found: FoundEntry): void {
    const { value } = request.at;
    if (this.#flights.has(value) || this.#backoff.rests(value)) return;
    this.stats.count('refreshes');
    const budget = new WaitBudget(this.clock, this.options.budgetMs);
    const departure = { lookup: found, budget, waitMs: 0, background: true, heedsFailure: true };
    // What goes wrong has been counted, and the caller has had its value long since.
    this.#depart(request, departure)
      .landing()
      .catch((error: unknown) => {
        this.store.warn(
          'refresh',
          `A value could not be refreshed: ${error instanceof Error ? error.name : 'no error'}`,
        );
      });
  }

  /** Takes the loads under way for a value out: what they have read may be older than what their caller is about to do. */
  supersede(key: string): void {
    this.#backoff.forget(key);
    const flight = this.#flights.get(key);
    if (flight === undefined) return;
    flight.supersede();
    this.#flights.delete(key);
  }

  /** Takes all out whose key begins so. */
  supersedeAll(prefix: string): void {
    for (const key of this.#flights.keys()) if (key.startsWith(prefix)) this.supersede(key);
  }

  /** Runs a loader that several flights wait for: what it asks for must not wait for one of them. */
  runFor(flights: readonly Flight[], key: string, load: () => Promise<unknown>): Promise<unknown> {
    const together = new Flight(key);
    for (const flight of flights) flight.waitFor(together);
    return this.#current.run(together, load);
  }

  /** Runs a write of a value: whoever would load it waits for the end, and looks again. */
  async during<T>(key: string, write: () => Promise<T>): Promise<T> {
    const flight = new Flight(key);
    this.#flights.set(key, flight);
    const written = this.#current.run(flight, write);
    // How it has ended is its caller's.
    const ended = (): Aborted => 'look-again';
    flight.start(written.then(ended, ended), () => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    });
    return written;
  }

  /** How many loads are under way. */
  get size(): number {
    return this.#flights.size;
  }

  #fallback(request: LoadRequest, lookup: Lookup): FoundEntry | undefined {
    const { staleIfErrorMs } = request.options;
    if (lookup.kind !== 'stale' || !isTaken(request, lookup.value, staleIfErrorMs)) return undefined;
    const staleMs = (this.store.serverClock.now ?? lookup.staleSince) - lookup.staleSince;
    return staleMs < staleIfErrorMs ? lookup : undefined;
  }

  #loadOrJoin(
    request: LoadRequest,
    lookup: Lookup,
    caller: Caller,
    budget: WaitBudget,
    hasFallback: boolean,
  ): Promise<LoadOutcome> {
    const waitMs = Math.max(0, caller.since + request.options.waitMs - this.clock.now());
    const flight = this.#flights.get(request.at.value);
    if (flight !== undefined && waitMs > 0) {
      request.onPause?.();
      return this.#join(flight, lookup, caller, waitMs);
    }
    const heedsFailure = hasFallback || request.options.errorTtlMs > 0;
    const departure = { lookup, budget, waitMs, background: false, heedsFailure };
    return this.#depart(request, departure).landingFor(this.#current.getStore());
  }

  #depart(request: LoadRequest, departure: Departure): Flight {
    const flight = new Flight(request.at.value);
    this.#flights.set(flight.key, flight);
    flight.start(this.#fly(flight, request, departure), () => {
      if (this.#flights.get(flight.key) === flight) this.#flights.delete(flight.key);
    });
    return flight;
  }

  async #join(flight: Flight, lookup: Lookup, caller: Caller, waitMs: number): Promise<LoadOutcome> {
    const waiter = this.#current.getStore();
    if (waiter !== undefined && flight.dependsOn(waiter)) throw new CacheCycleError(flight.key);
    try {
      const landing = await this.#before(waitMs, flight, flight.landingFor(waiter));
      if (landing === 'look-again' || landing.sharedWith === 'none') return 'look-again';
      const early = caller.since < flight.loadingAt;
      if (!early && (landing.sharedWith === 'early' || !isAsSeen(landing.under, lookup.seen))) return 'look-again';
      return { value: landing.copy() };
    } catch (error) {
      // The subscriber of an Observable left: that is the end of its call, not of those who shared the load.
      if (error instanceof MethodCancelledError) return 'look-again';
      throw error;
    }
  }

  /** A load that takes longer than somebody would wait is left to itself: its value is still stored, but nobody joins it any more. */
  #before(waitMs: number, flight: Flight, landing: Promise<Landing | Aborted>): Promise<Landing | Aborted> {
    return new Promise((resolve, reject) => {
      const cancel = this.clock.after(waitMs, () => {
        if (this.#flights.get(flight.key) === flight) this.#flights.delete(flight.key);
        resolve('look-again');
      });
      landing.then(resolve, reject).finally(cancel);
    });
  }

  async #fly(flight: Flight, request: LoadRequest, departure: Departure): Promise<Landing | Aborted> {
    const { lookup, budget, waitMs, heedsFailure, background } = departure;
    const opening: Opening =
      lookup.kind === 'blind'
        ? { kind: 'blind' }
        : await this.openings.open(flight, request, { first: lookup, waitMs, heedsFailure, background }, budget);
    if (opening.kind !== 'permit') return this.#landWithout(opening, flight, request, departure);
    // Here and not in a method of its own, as every miss comes this way: a promise less.
    try {
      const loading = this.#run(flight, request, lookup);
      const loaded = loading instanceof Promise ? await this.#keeping(request, opening, loading) : loading;
      return await this.landings.land(flight, request, opening, loaded, this.#budget());
    } catch (error) {
      await this.#fail(request, lookup, opening, error);
      throw error;
    } finally {
      this.openings.end(opening.lease);
    }
  }

  /** What happens where nothing may be stored. */
  async #landWithout(
    opening: Exclude<Opening, Permit>,
    flight: Flight,
    request: LoadRequest,
    { lookup, budget, background }: Departure,
  ): Promise<Landing | Aborted> {
    switch (opening.kind) {
      case 'found':
        return shareFound(opening.entry);
      case 'failed':
        this.#backoff.rest(flight.key, opening.forMs);
        if (background) return 'look-again';
        this.#backoff.throwAgain(flight.key);
        throw new CacheLoadFailedError(flight.key, opening.forMs);
      case 'busy':
        this.#backoff.rest(flight.key, opening.forMs);
        return 'look-again';
      default:
        return this.landings.land(flight, request, undefined, await this.#run(flight, request, lookup), budget);
    }
  }

  /** Renews the lease while a loader takes its time. */
  async #keeping({ at, options }: LoadRequest, { lease }: Permit, loading: Promise<Loaded>): Promise<Loaded> {
    const patienceMs = Math.max(options.waitMs, options.hardMs < Infinity ? options.hardMs : 0);
    const renewal = this.store.leases.keep(at, lease, patienceMs, () => {
      renewal.stop();
    });
    try {
      return await loading;
    } finally {
      renewal.stop();
    }
  }

  /** A promise only of what the loader has made one of. */
  #run(flight: Flight, request: LoadRequest, lookup: Lookup): Loaded | Promise<Loaded> {
    this.stats.count('loads');
    const startedAt = this.clock.now();
    flight.loadingAt = startedAt;
    const notes = new LoadNotes(lookup.kind === 'stale' ? lookup.value : undefined, this.options.maxTtlMs);
    const loaded = (value: unknown): Loaded => {
      const loadMs = this.clock.now() - startedAt;
      this.stats.loaded('loadSuccesses', loadMs);
      return { value, notes, loadMs };
    };
    const failed = (error: unknown): never => {
      this.stats.loaded('loadErrors', this.clock.now() - startedAt);
      throw error;
    };
    let value: unknown;
    try {
      value = this.#current.run(flight, () => request.load(notes, flight));
    } catch (error) {
      return failed(error);
    }
    return isThenable(value) ? Promise.resolve(value).then(loaded, failed) : loaded(value);
  }

  /** Tells the others, and keeps them from trying at once where there is something else to serve. */
  async #fail(request: LoadRequest, lookup: Lookup, { lease }: Permit, error: unknown): Promise<void> {
    const { at, options } = request;
    const staleMs = Math.max(options.staleIfErrorMs, options.revalidateMs);
    const servesOther = lookup.kind === 'fresh' || (lookup.kind === 'stale' && isTaken(request, lookup.value, staleMs));
    const cancelled = error instanceof MethodCancelledError;
    const quietMs = cancelled ? 0 : servesOther ? options.errorBackoffMs : options.errorTtlMs;
    this.#backoff.failed(at.value, error, quietMs);
    if (servesOther) this.#backoff.rest(at.value, quietMs);
    await this.store.leases.release(at, lease.token, 'failed', this.#budget(), quietMs);
  }

  #budget(): WaitBudget {
    return new WaitBudget(this.clock, this.options.budgetMs);
  }
}

function shareFound({ value, copy }: FoundEntry): Landing {
  return { value, sharedWith: copy === undefined ? 'none' : 'early', copy: copy ?? (() => value) };
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}
