import type { Key } from '@redstart/redis-core';
import type { Caller, LoadRequest } from '../flight/load-request.js';
import { BatchLoad, checkLoaded, type BatchLoader } from '../load/batch-load.js';
import { isDue } from '../load/early-refresh.js';
import { LoadNotes } from '../load/load-context.js';
import { withinPatience } from '../flight/patience.js';
import type { RefreshAhead } from '../load/load.options.js';
import type { WaitBudget } from '../store/budget.js';
import type { FoundEntry, Lookup } from '../store/reader.js';
import type { GetOrSetOptions, Loader } from './call.options.js';
import type { CacheParts } from './cache-parts.js';
import { checkGiven, checkKeys, checkLoading } from './check-options.js';
import type { Reads } from './reads.js';
import type { Requests } from './requests.js';

/** What reads a cache and has a loader for what is not there: decides what is served, what is loaded, and what is loaded anew in the background. */
export class LoadingReads {
  constructor(
    private readonly parts: CacheParts,
    private readonly requests: Requests,
    private readonly reads: Reads,
  ) {}

  async getOrSet<T>(key: Key, loader: Loader<T>, options: GetOrSetOptions<T>): Promise<T> {
    checkGiven(options, 'getOrSet');
    if (!isMet(options.condition)) {
      checkLoading(options, loader, 'getOrSet');
      return loader(new LoadNotes(undefined, this.parts.options.maxTtlMs));
    }
    if (!this.#mayBeDue(options)) {
      const kept = this.reads.near(key, options);
      if (kept !== undefined) return this.parts.near?.valueOf(kept) as T;
    }
    const caller = this.requests.caller(options);
    const read = this.requests.readFor(key, options);
    const budget = this.requests.budget();
    const lookup = await this.reads.look(read, budget);
    this.reads.note(read, lookup);
    // A hit, as most calls are, needs nothing of what a load does.
    if (lookup.kind === 'fresh' && !this.#mayBeDue(options)) {
      this.parts.stats.count('hits');
      return lookup.value as T;
    }
    checkLoading(options, loader, 'getOrSet');
    const request = this.requests.load(read, options, (context) => loader(context));
    return (await this.#serve(request, caller, budget, lookup)) as T;
  }

  async getOrSetMany<K extends Key, T>(
    keys: readonly K[],
    loader: BatchLoader<K, T>,
    options: GetOrSetOptions<T>,
  ): Promise<T[]> {
    const { loads } = this.parts;
    checkKeys(keys, 'getOrSetMany');
    checkLoading(options, loader, 'getOrSetMany');
    const { keys: names } = this.requests;
    const places = new Map(keys.map((key) => [names.entry(key).value, key]));
    if (!isMet(options.condition)) {
      const loaded = await this.#loadMany(places, loader);
      return keys.map((key) => loaded.get(names.entry(key).value) as T);
    }
    const batch = new BatchLoad<K, T>([...places.values()], loader, (flights, load) =>
      loads.runFor(flights, 'getOrSetMany', load),
    );
    const caller = this.requests.caller(options);
    const values = new Map<string, Promise<unknown>>();
    for (const [value, key] of places) {
      const decided = () => {
        batch.decide(key);
      };
      const read = this.requests.readFor(key, options);
      const load: LoadRequest['load'] = (context, flight) => batch.load(key, context, flight);
      const request = this.requests.load(read, options, load, decided);
      values.set(value, this.#serve(request, caller, this.requests.budget()).finally(decided));
    }
    const found = keys.map(async (key) => values.get(names.entry(key).value));
    return (await Promise.all(found)) as T[];
  }

  /** Loads a value anew in the background, if there is one: its caller has found it due. */
  async refresh<T>(key: Key, loader: Loader<T>, options: GetOrSetOptions<T>): Promise<void> {
    const read = this.requests.readFor(key, options);
    const lookup = await this.reads.look(read, this.requests.budget());
    if (lookup.kind !== 'fresh' && lookup.kind !== 'stale') return;
    const request = this.requests.load(read, options, async (context) => loader(context));
    this.parts.loads.refresh(request, lookup);
  }

  /** Loads a value anew for its caller: see `DefinedCache.refresh`. */
  async loadAnew<T>(key: Key, loader: Loader<T>, options: GetOrSetOptions<T>): Promise<T> {
    const { clock, loads, refreshes, store } = this.parts;
    const { since, signal } = this.requests.caller(options);
    const request = this.requests.load(this.requests.readFor(key, options), options, (context) => loader(context));
    const { at } = request;
    signal?.throwIfAborted();
    const markStale = () => {
      loads.supersede(at.value);
      return store.values.markStale(at, this.requests.budget());
    };
    // Without its signal: who leaves does not end the wait of those who come after him.
    const load = () => this.#serve(request, this.requests.caller({}), this.requests.budget(), undefined, false);
    const loaded = refreshes.run(at.value, request.options.waitMs, markStale, load);
    const never = { softMs: Infinity, hardMs: Infinity, hasFallback: false };
    return (await withinPatience(loaded, { key: at.value, since, signal, ...never }, clock)) as T;
  }

  /** By its place each; nothing is read or stored. */
  async #loadMany<K extends Key, T>(
    places: ReadonlyMap<string, K>,
    loader: BatchLoader<K, T>,
  ): Promise<ReadonlyMap<string, T>> {
    if (places.size === 0) return new Map();
    const context = new LoadNotes(undefined, this.parts.options.maxTtlMs);
    const values = checkLoaded(await loader([...places.values()], context), places.size);
    return new Map([...places.keys()].map((place, index) => [place, values[index] as T]));
  }

  /** @param servesStale whether it does where `staleWhileRevalidate` says so; for a loader that fails it does in any case */
  async #serve(
    request: LoadRequest,
    caller: Caller,
    budget: WaitBudget,
    first?: Lookup,
    servesStale = true,
  ): Promise<unknown> {
    const { loads, stats } = this.parts;
    let lookup = first ?? (await this.#look(request, budget));
    // One call is one hit or one miss, by what it found first.
    for (let isFirst = true; ; isFirst = false) {
      caller.signal?.throwIfAborted();
      if (lookup.kind === 'fresh') {
        if (isFirst) stats.count('hits');
        if (this.#isDue(request, lookup)) loads.refresh(request, lookup);
        return lookup.value;
      }
      if (servesStale && lookup.kind === 'stale' && this.#isWelcome(lookup, request.options.revalidateMs)) {
        if (isFirst) for (const name of ['hits', 'staleHits'] as const) stats.count(name);
        loads.refresh(request, lookup);
        return lookup.value;
      }
      if (isFirst) stats.count('misses');
      const outcome = await loads.load(request, lookup, caller, budget);
      if (outcome !== 'look-again') return outcome.value;
      lookup = await this.reads.look(request, budget);
      this.reads.slide(request, lookup);
    }
  }

  async #look(request: LoadRequest, budget: WaitBudget): Promise<Lookup> {
    const lookup = await this.reads.look(request, budget);
    this.reads.note(request, lookup);
    return lookup;
  }

  #mayBeDue({ refreshAhead }: { refreshAhead?: RefreshAhead }): boolean {
    return refreshAhead === undefined ? this.parts.options.early.kind !== 'never' : refreshAhead !== false;
  }

  #isDue({ options: { early } }: LoadRequest, { envelope }: FoundEntry): boolean {
    if (early.kind === 'never') return false;
    const { store } = this.parts;
    const { now } = store.serverClock;
    if (now !== undefined) return isDue(early, envelope, now);
    // Asked for once, and known at the next read.
    void store.serverTime(this.requests.budget());
    return false;
  }

  /** Whether a stale value may still be served, so long after it went stale. */
  #isWelcome({ staleSince }: FoundEntry, staleMs: number): boolean {
    if (staleMs === 0) return false;
    return (this.parts.store.serverClock.now ?? staleSince) < staleSince + staleMs;
  }
}

function isMet(condition: boolean | (() => boolean) | undefined): boolean {
  return typeof condition === 'function' ? condition() : (condition ?? true);
}
