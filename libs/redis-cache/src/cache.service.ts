import type { Clock, Key, RedisConnection } from '@redstart/redis-core';
import { resolveTtl, type GetOrSetOptions, type ResolvedCacheOptions, type StoreOptions } from './cache.options.js';
import { StatsCounter, type CacheStats } from './cache.stats.js';
import { EntryCodec, type CacheEntry } from './entry/entry-codec.js';
import { Loads } from './flight/loads.js';
import { Writes } from './flight/writes.js';
import { CacheKeys, type EntryKeys } from './keys.js';
import { WaitBudget } from './store/budget.js';
import { CacheStore, type ReadOutcome } from './store/cache-store.js';

/** What a cache and its namespaces have in common. */
interface CacheParts {
  readonly options: ResolvedCacheOptions;
  readonly clock: Clock;
  readonly store: CacheStore;
  readonly codec: EntryCodec;
  readonly loads: Loads;
  readonly writes: Writes;
  readonly stats: StatsCounter;
}

/**
 * A cache in Redis: reads through a loader, once per key, and never brings back what has been deleted meanwhile.
 *
 * When Redis is down or slow, reads find nothing and loaders run; no call waits longer than the `budget` for Redis.
 */
export class CacheService {
  readonly #parts: CacheParts;
  readonly #keys: CacheKeys;

  /** @internal Built by RedisCacheModule. */
  constructor(parts: CacheParts, keys: CacheKeys) {
    this.#parts = parts;
    this.#keys = keys;
  }

  /** @internal */
  static create(connection: RedisConnection, options: ResolvedCacheOptions, name: string): CacheService {
    const stats = new StatsCounter();
    const codec = new EntryCodec(options);
    const store = new CacheStore(connection, options, codec, stats);
    const parts = {
      options,
      clock: connection.clock,
      store,
      codec,
      loads: new Loads(store, codec, stats),
      writes: new Writes(),
      stats,
    };
    return new CacheService(parts, CacheKeys.of(connection.keys, name));
  }

  /**
   * Reads a value. A cached `undefined` looks like a miss here; {@link getEntry} tells them apart.
   *
   * @returns a copy of its own, or `undefined` when there is none or Redis can't tell
   * @throws InvalidKeyError
   * @see one GET
   */
  async get<T>(key: Key): Promise<T | undefined> {
    return (await this.getEntry<T>(key))?.value;
  }

  /**
   * Reads a value with what is known of it.
   *
   * @returns `undefined` when there is none or Redis can't tell; the entry's `value` may be `null` or `undefined`
   * @throws InvalidKeyError
   * @example  const entry = await cache.getEntry<Flight | null>(['flight', id]);
   * @see one GET
   */
  async getEntry<T>(key: Key): Promise<CacheEntry<T> | undefined> {
    const read = await this.#read(this.#keys.entry(key), this.#budget());
    // The type is the caller's word, as with JSON.parse: what is stored says nothing of it.
    return read.kind === 'hit' ? (read.entry as CacheEntry<T>) : undefined;
  }

  /**
   * Whether a value is there that `get` could read, be it `undefined`.
   * @see one GET
   */
  async has(key: Key): Promise<boolean> {
    return (await this.getEntry(key)) !== undefined;
  }

  /**
   * Reads a value, and loads and stores it when there is none.
   *
   * - Callers of one key in this process share one load; each gets a copy of its own, the first one the loader's own object.
   * - A loader's error reaches all who share the load, and is not cached.
   * - `null` and `undefined` are cached like any other value; `unless` keeps them out.
   * - When the key is set or deleted while the loader runs, in whatever process, the loaded value is not stored, and goes only to callers that had
   *   asked before.
   * - When Redis is down or slow the loader runs. A value that can't be stored is returned all the same.
   *
   * @param loader runs in the asynchronous context of the first caller: let it depend on nothing that is not in the key
   * @throws InvalidKeyError · OptionsError for a wrong `ttl` · CacheCycleError · whatever the loader throws
   * @example  const flight = await cache.getOrSet(['flight', id], () => repository.find(id), { ttl: '1m' });
   * @see a hit: one GET; a miss: GET, EVALSHA for the lease, the loader, EVALSHA to store
   */
  async getOrSet<T>(key: Key, loader: () => T | Promise<T>, options: GetOrSetOptions<T> = {}): Promise<T> {
    const { loads } = this.#parts;
    const at = this.#keys.entry(key);
    const { unless } = options;
    const request = {
      at,
      ttlMs: resolveTtl(options.ttl, this.#parts.options),
      load: async () => loader(),
      unless: (value: unknown) => unless?.(value as T) ?? false,
    };
    const budget = this.#budget();
    for (;;) {
      const read = await this.#read(at, budget);
      if (read.kind === 'hit') return read.entry.value as T;
      const outcome = await loads.load(request, budget, read.kind === 'blind');
      if (outcome !== 'look-again') return outcome.value as T;
    }
  }

  /**
   * Stores a value, whatever was there. Loads of this key that are under way, in any process, don't overwrite it.
   *
   * Of several calls for one key the last one of this process wins, also when an earlier one takes longer to pack its value. It is sent when Redis has
   * answered the `set` that is in flight; that wait is part of its budget.
   *
   * @throws InvalidKeyError · UnsupportedValueError for a value that is too large or does not come back as it is · RedisUnavailableError when Redis
   *   is down or slow: an older value may still be there then · RedisCommandError
   * @example  await cache.set(['flight', id], flight, { ttl: '1m' });
   * @see one EVALSHA
   */
  async set(key: Key, value: unknown, options: StoreOptions = {}): Promise<void> {
    const { store, codec, loads, writes } = this.#parts;
    const at = this.#keys.entry(key);
    const ttlMs = resolveTtl(options.ttl, this.#parts.options);
    const snapshot = codec.snapshot(value);
    loads.supersede(at.value);
    const write = writes.begin(at.value);
    try {
      const payload = await codec.pack(snapshot);
      const budget = this.#budget();
      await writes.set(at.value, write, budget, () => store.write(at, { payload, ttlMs }, budget));
    } finally {
      writes.end(at.value, write);
    }
  }

  /**
   * Deletes values. Once it has resolved, no process serves what it has loaded before.
   *
   * Keys are deleted one by one, in one system call: a failure may leave some of them. A key with a `set` of this process in flight waits for its
   * answer, within the budget.
   *
   * @throws InvalidKeyError · RedisUnavailableError when Redis is down or slow: the values may still be there then
   * @example  await cache.delete(['flight', id], 'flights:all');
   * @see one UNLINK per key
   */
  async delete(...keys: Key[]): Promise<void> {
    const { store, loads, writes } = this.#parts;
    const all = keys.map((key) => this.#keys.entry(key));
    for (const { value } of all) {
      loads.supersede(value);
      writes.outdate(value);
    }
    await Promise.all(
      all.map((at) => {
        const budget = this.#budget();
        return writes.delete(at.value, budget, () => store.remove(at, budget));
      }),
    );
  }

  /**
   * A part of this cache with keys of its own. Costs nothing; options and counters are shared.
   *
   * @example  const users = cache.namespace('users'); // shop:cache:users:{42}
   */
  namespace(name: string): CacheService {
    return new CacheService(this.#parts, this.#keys.namespace(name));
  }

  /** What this cache and all its namespaces have counted in this process. */
  stats(): CacheStats {
    return this.#parts.stats.snapshot();
  }

  async #read(at: EntryKeys, budget: WaitBudget): Promise<ReadOutcome> {
    const { store, stats } = this.#parts;
    const read = await store.read(at, budget);
    stats.count(read.kind === 'hit' ? 'hits' : 'misses');
    return read;
  }

  #budget(): WaitBudget {
    return new WaitBudget(this.#parts.clock, this.#parts.options.budgetMs);
  }
}
