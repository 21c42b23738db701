import type { Key, RedisConnection } from '@redstart/redis-core';
import { checkPermissions } from './boot-check.js';
import type { ResolvedCacheOptions } from './cache.options.js';
import type { CacheStats } from './cache.stats.js';
import { createParts, type CacheParts } from './calls/cache-parts.js';
import type { GetOrSetOptions, Loader, ReadOptions, StoreOptions } from './calls/call.options.js';
import { checkEntries } from './calls/check-options.js';
import { Changes } from './calls/changes.js';
import { LoadingReads } from './calls/loading-reads.js';
import { Reads } from './calls/reads.js';
import { Requests } from './calls/requests.js';
import type { CacheEntry } from './entry/entry.js';
import { CacheKeys, type CacheVersion, type NamespaceOptions } from './keys.js';
import type { BatchLoader } from './load/batch-load.js';
import { storedKeys, type DeleteByPrefixOptions } from './store/prefix-scan.js';
import { ThroughWrites, type WriteThroughOptions } from './write-through/write-through.js';

/**
 * A cache in Redis: reads through a loader, once per key in all processes, and never brings back what has been deleted meanwhile.
 *
 * When Redis is down or slow, reads find nothing and loaders run; no call waits longer than the `budget` for Redis.
 */
export class CacheService {
  readonly #parts: CacheParts;
  /** @internal */ readonly keys: CacheKeys;
  readonly #reads: Reads;
  readonly #loadingReads: LoadingReads;
  readonly #changes: Changes;
  readonly #throughWrites: ThroughWrites;

  /** @internal Built by RedisCacheModule. */
  constructor(parts: CacheParts, keys: CacheKeys) {
    const requests = new Requests(keys, parts.options, parts.clock);
    this.#parts = parts;
    this.keys = keys;
    this.#reads = new Reads(parts, requests);
    this.#loadingReads = new LoadingReads(parts, requests, this.#reads);
    this.#changes = new Changes(parts, requests);
    this.#throughWrites = new ThroughWrites(parts, requests, this.#changes);
  }

  /** @internal */
  static create(connection: RedisConnection, options: ResolvedCacheOptions, name: string): CacheService {
    const keys = CacheKeys.of(connection.keys, name);
    return new CacheService(createParts(connection, options, keys, name), keys.versioned(options.version));
  }

  /**
   * Reads a value. A cached `undefined` looks like a miss here; {@link getEntry} tells them apart. A stale value is a miss.
   *
   * @returns a copy of its own, or `undefined` when there is none or Redis can't tell
   * @throws InvalidKeyError @see one GET (with the other reads of its tick, one MGET); for tags that the caller does not name another one
   */
  get<T>(key: Key, options: ReadOptions = {}): Promise<T | undefined> {
    // The type is the caller's word, as with JSON.parse: what is stored says nothing of it.
    return this.#reads.get(key, options) as Promise<T | undefined>;
  }

  /**
   * Reads a value with what is known of it, stale ones as well.
   *
   * @returns `undefined` when there is none or Redis can't tell; the entry's `value` may be `null` or `undefined`
   * @throws InvalidKeyError
   * @example  const entry = await cache.getEntry<Flight | null>(['flight', id]);
   * @see as {@link get}, and one PTTL
   */
  getEntry<T>(key: Key, options: ReadOptions = {}): Promise<CacheEntry<T> | undefined> {
    return this.#reads.entry(key, options) as Promise<CacheEntry<T> | undefined>;
  }

  /** Whether a value is there that `get` could read, be it `undefined`. @see as {@link get} */
  has(key: Key, options: ReadOptions = {}): Promise<boolean> {
    return this.#reads.has(key, options);
  }

  /**
   * Reads many values.
   *
   * @returns in the order of the keys, `undefined` for each miss
   * @throws InvalidKeyError @see one MGET for each 64 keys; on a Cluster one GET for each key
   */
  getMany<T>(keys: readonly Key[], options: ReadOptions = {}): Promise<(T | undefined)[]> {
    return this.#reads.getMany(keys, options) as Promise<(T | undefined)[]>;
  }

  /**
   * Reads a value, and loads and stores it when there is none.
   *
   * - Callers of one key share one load, in all processes; each gets a copy of its own, the first one the loader's own object.
   * - A loader's error reaches all who share the load, and is not cached (`errorTtl`).
   * - `null` and `undefined` are cached as well, for `nullTtl` at most; `unless` keeps them out.
   * - When the key is set or deleted, or one of its tags or namespaces invalidated, while the loader runs, in whatever process, the loaded value is never served
   *   from the cache, and goes only to callers that had asked before.
   * - When Redis is down or slow the loader runs. A value that can't be stored is returned all the same.
   *
   * @param loader runs in the asynchronous context of the first caller: let it depend on nothing that is not in the key
   * @throws InvalidKeyError · OptionsError for wrong options · CacheCycleError · CacheLoadTimeoutError · CacheLoadFailedError · the reason of `signal` · whatever
   *   the loader throws
   * @example  const flight = await cache.getOrSet(['flight', id], () => repository.find(id), { ttl: '1m', tags: ['flights'] });
   * @see a hit: as {@link get}; a miss: that, EVALSHA for the lease (and one for each version that is not there yet), the loader, EVALSHA to store; misses of one tick
   *   share both
   */
  getOrSet<T>(key: Key, loader: Loader<T>, options: GetOrSetOptions<T> = {}): Promise<T> {
    return this.#loadingReads.getOrSet(key, loader, options);
  }

  /**
   * Reads many values, and loads those together that are not there.
   *
   * Each value is loaded once, as with {@link getOrSet}: what another call or process is loading is waited for. A key that is given twice has one value in both places.
   *
   * @param loader gets the keys that are to be loaded, and returns as many values in their order
   * @returns the values in the order of the keys
   * @throws as {@link getOrSet} does; TypeError when the loader returns another number of values
   * @example  const flights = await cache.getOrSetMany(ids, (missing) => repository.findAll(missing));
   * @see the reads of {@link getMany}, then for each miss as {@link getOrSet}; all of one step leave together
   */
  getOrSetMany<K extends Key, T>(
    keys: readonly K[],
    loader: BatchLoader<K, T>,
    options: GetOrSetOptions<T> = {},
  ): Promise<T[]> {
    return this.#loadingReads.getOrSetMany(keys, loader, options);
  }

  /**
   * Stores a value, whatever was there. Loads of this key that are under way, in any process, don't overwrite it.
   *
   * Of several calls for one key the last one of this process wins, also when an earlier one takes longer to pack its value. It is sent when Redis has
   * answered the `set` that is in flight; that wait is part of its budget. An invalidation of one of its tags, or a `clear`, that happens after the call wins.
   *
   * @throws InvalidKeyError · OptionsError · UnsupportedValueError for a value that is too large or does not come back as it is · RedisUnavailableError when Redis
   *   is down or slow: an older value may still be there then · RedisCommandError
   * @example  await cache.set(['flight', id], flight, { ttl: '1m', tags: ['flights'] });
   * @see one GET of the versions (in the MGET of its tick), one EVALSHA
   */
  set(key: Key, value: unknown, options: StoreOptions = {}): Promise<void> {
    return this.#changes.set(key, value, options);
  }

  /**
   * Stores many values, each as {@link set} does. A failure may leave some of them unstored.
   *
   * @example  await cache.setMany(flights.map((flight) => [['flight', flight.id], flight]));
   * @see one MGET of the versions, one EVALSHA for up to 32 values; on a Cluster one for each, in one system call for each node
   */
  async setMany(entries: Iterable<readonly [Key, unknown]>, options: StoreOptions = {}): Promise<void> {
    await Promise.all([...checkEntries(entries)].map(([key, value]) => this.set(key, value, options)));
  }

  /**
   * Writes a value to its store and to the cache. What the store had before is never served again once it has resolved, and no load that has begun before puts it back, in
   * whatever process.
   *
   * - Whoever misses the value while `write` runs waits for its end. What is cached is served meanwhile, but no longer than the `lease`: should this process die in
   *   between, nothing outdated is left.
   * - When `write` fails the value is deleted from the cache: the store may have it after all. So it is when two writes of a key overlap, or one with a `set` or `delete`: nobody
   *   knows which of them the store has kept.
   * - What the cache can't do never fails a write that the store has taken. When Redis is down the store is written, and the deletion made good afterwards.
   *
   * @param write writes the value to the store. It may not ask the cache for the same key: CacheCycleError
   * @param options as {@link set}; `first: 'cache'` puts the value before the store has it
   * @returns whether the cache has the value; `false`: it has been deleted there, or will be when Redis is back
   * @throws InvalidKeyError · OptionsError · whatever `write` throws
   * @example  await cache.writeThrough(['flight', id], flight, () => repository.save(flight), { ttl: '1m' });
   * @see EVALSHA for the lease and one GET of the versions (in the MGET of its tick), `write`, EVALSHA to store; UNLINK and EVALSHA when it is deleted
   */
  writeThrough<T>(
    key: Key,
    value: T,
    write: (value: T) => unknown,
    options: WriteThroughOptions = {},
  ): Promise<boolean> {
    return this.#throughWrites.write(key, value, write, options);
  }

  /**
   * Deletes values. Once it has resolved, this process serves nothing that was loaded before, nor does another one that has heard of it: Redis has sent word.
   *
   * Keys are deleted one by one, in one system call: a failure may leave some of them. A key with a `set` of this process in flight waits for its
   * answer, within the budget.
   *
   * @throws InvalidKeyError · RedisUnavailableError when Redis is down or slow: the values may still be there then
   * @example  await cache.delete(['flight', id], 'flights:all');
   * @see one UNLINK per key, on a Cluster two
   */
  delete(...keys: Key[]): Promise<void> {
    return this.#changes.delete(keys);
  }

  /**
   * Deletes all values of this cache or namespace whose key begins so, and ends the loads of such keys that are under way. `''` is refused: that is {@link clear}.
   *
   * It looks through all keys of Redis, on every master, in small steps: for operators and rare events. What is stored while it runs may stay. Keys of more than 1 KB are told by their first 64 characters.
   *
   * @param prefix the beginning of the key as it is written: `'flight:'`, or `['flight', '']`
   * @returns how many values were deleted
   * @throws InvalidKeyError · RedisUnavailableError: some may have been deleted then · the reason of `signal` @see SCAN and UNLINK
   */
  deleteByPrefix(prefix: Key, options: DeleteByPrefixOptions = {}): Promise<number> {
    return this.#changes.deleteByPrefix(prefix, options);
  }

  /**
   * Gives a fresh value a new lifetime, from now: `ttl`, or the module's. A sliding ttl moves on by itself, with this as well.
   *
   * @returns whether there was one; it looks at no versions, so also of a value that a tag or `clear` has invalidated: that stays invalid
   * @throws InvalidKeyError · OptionsError · RedisUnavailableError @see one EVALSHA
   */
  touch(key: Key, options: Pick<StoreOptions, 'ttl'> = {}): Promise<boolean> {
    return this.#changes.touch(key, options);
  }

  /**
   * Invalidates everything that has one of these tags, in all namespaces of this cache: it is never served again, not even as a stale value. However many
   * values that are, it takes one small write for each tag. Loads under way don't bring older values back.
   *
   * Each tag for itself is invalidated at one moment; several are invalidated one after the other, and a failure may leave some of them.
   *
   * @throws InvalidKeyError · RedisUnavailableError when Redis is down or slow: the values may still be served then
   * @example  await cache.invalidateTags('flights', ['airline', code]);
   * @see one EVALSHA per tag, in one system call
   */
  invalidateTags(...tags: Key[]): Promise<void> {
    return this.#changes.invalidateTags(tags);
  }

  /**
   * Makes values stale: from now on they are served only by `staleWhileRevalidate` and `staleIfError`. Loads under way are not stored.
   * @throws InvalidKeyError · RedisUnavailableError @see one EVALSHA per key, in one system call
   */
  markStale(...keys: Key[]): Promise<void> {
    return this.#changes.markStale(keys);
  }

  /**
   * Makes everything stale that has one of these tags, as {@link markStale} does.
   *
   * @throws InvalidKeyError · RedisUnavailableError @see one EVALSHA per tag, in one system call
   */
  markTagsStale(...tags: Key[]): Promise<void> {
    return this.#changes.markTagsStale(tags);
  }

  /**
   * Invalidates all values of this cache or namespace, and of the namespaces in it, of all versions, whatever process has stored them. They are never served again; Redis drops
   * them when their ttl is over.
   *
   * @throws RedisUnavailableError when Redis is down or slow: the values may still be served then @see one EVALSHA
   */
  clear(): Promise<void> {
    return this.#changes.clear();
  }

  /**
   * A part of this cache with keys of its own. Costs nothing; options, tags and counters are shared. Clearing this cache clears it, too.
   *
   * @param options.version values of one version are not seen by the others; tags and {@link clear} reach all of them @throws OptionsError
   * @example  const users = cache.namespace('users'); // shop:cache:users:{42}
   */
  namespace(name: string, options: NamespaceOptions = {}): CacheService {
    return new CacheService(this.#parts, this.keys.namespace(name, options));
  }

  /** @internal For a decorator that names a version alone. @throws OptionsError */
  versioned(version: CacheVersion): CacheService {
    return new CacheService(this.#parts, this.keys.versioned(version));
  }

  /** @internal For what has the interface of another cache: the longest ttl that a value may have, in milliseconds. */
  get longestTtl(): number {
    return this.#parts.options.maxTtlMs;
  }

  /** @internal For what has the interface of another cache: loads a value anew in the background that is due by its own rule. It is served until then. */
  refresh<T>(key: Key, loader: Loader<T>, options: GetOrSetOptions<T> = {}): Promise<void> {
    return this.#loadingReads.refresh(key, loader, options);
  }

  /** @internal See `DefinedCache.refresh`. */
  loadAnew<T>(key: Key, loader: Loader<T>, options: GetOrSetOptions<T>): Promise<T> {
    return this.#loadingReads.loadAnew(key, loader, options);
  }

  /** @internal For what has the interface of another cache. What of it can still be read, `getMany` tells. @throws RedisUnavailableError @see SCAN on every master */
  storedKeys(): AsyncGenerator<string[], void> {
    return storedKeys(this.#parts.connection, this.keys.values, (key) => this.keys.textOf(key));
  }

  /** @internal Called once by RedisCacheModule, when the application starts. @throws OptionsError */
  checkPermissions(name: string): Promise<void> {
    return checkPermissions(this.#parts.connection, this.#parts.store, this.keys, name);
  }

  /** What this cache and all its namespaces have counted in this process. */
  stats(): CacheStats {
    return this.#parts.stats.snapshot();
  }
}
