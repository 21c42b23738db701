import { checkKnownKeys, OptionsError, type Key } from '@redstart/redis-core';
import type { GetOrSetOptions, ReadOptions, StoreOptions } from '../calls/call.options.js';
import type { CacheService } from '../cache.service.js';
import type { CacheEntry } from '../entry/entry.js';
import type { CacheKeys } from '../keys.js';
import type { LoadContext } from '../load/load-context.js';
import type { WriteThroughOptions } from '../write-through/write-through.js';
import { checkSource, type CacheSource } from './cache-source.js';
import type { CacheDefinition } from './define-cache.js';

/** What a definition describes, when it is injected: `DefinedCache<string, Flight>` of `typeof flights`. */
export type CacheOf<Definition> =
  Definition extends CacheDefinition<infer Id, infer Value> ? DefinedCache<Id, Value> : never;

/** Values that the store does not have yet, and that are to be read all the same. */
export interface PendingValues<Id, Value> {
  /**
   * In the order of the ids, `undefined` where nothing is pending.
   * @throws RedisUnavailableError when nobody can tell
   */
  find(ids: readonly Id[]): Promise<({ readonly value: Value } | undefined)[]>;
}

/** How a call may differ from its definition. */
export type DefinedCallOptions = Pick<GetOrSetOptions<unknown>, 'signal'>;

/**
 * The cache of one kind of values, with the loader and the writer that `RedisCacheModule.forFeature` has bound: a part of {@link CacheService}, with all that it promises.
 *
 * @example
 * constructor(@InjectCache(flights) private readonly flights: DefinedCache<string, Flight>) {}
 * const flight = await this.flights.getOrSet(id);
 */
export class DefinedCache<Id, Value> {
  readonly #definition: CacheDefinition<Id, Value>;
  readonly #cache: CacheService;
  readonly #source: CacheSource<Id, Value>;
  readonly #loading: GetOrSetOptions<Value>;
  readonly #reading: ReadOptions;
  #pending: PendingValues<Id, Value> | undefined;

  /** @internal Inject it by `@InjectCache(definition)`. @throws OptionsError */
  constructor(definition: CacheDefinition<Id, Value>, cache: CacheService, source: CacheSource<Id, Value>) {
    checkSource(source, `The cache "${definition.name}"`);
    this.#definition = definition;
    this.#cache = cache.namespace(definition.name, { version: definition.version });
    this.#source = source;
    const { tags, schema } = definition.options;
    this.#loading = definition.options;
    this.#reading = {
      ...(typeof tags === 'object' ? { tags } : {}),
      ...(schema === undefined ? {} : { schema }),
    };
  }

  get name(): string {
    return this.#definition.name;
  }

  /** @internal */
  get keys(): CacheKeys {
    return this.#cache.keys;
  }

  /** What is cached, without loading. @see CacheService.get */
  async get(id: Id): Promise<Value | undefined> {
    const cached = await this.#cache.get<Value>(this.#key(id), this.#reading);
    if (cached !== undefined || this.#pending === undefined) return cached;
    const [pending] = await this.#pendingOf([id]);
    return pending === undefined ? undefined : this.#fitting(pending.value);
  }

  /** What is cached, and what is known of it; not what is still to be written behind, of which nothing is known. @see CacheService.getEntry */
  getEntry(id: Id): Promise<CacheEntry<Value> | undefined> {
    return this.#cache.getEntry<Value>(this.#key(id), this.#reading);
  }

  /** In the order of the ids, `undefined` for each miss. @see CacheService.getMany */
  getMany(ids: readonly Id[]): Promise<(Value | undefined)[]> {
    return Promise.all(ids.map((id) => this.get(id)));
  }

  /**
   * Reads a value, and loads and stores it when there is none.
   *
   * @throws as CacheService.getOrSet
   * @see CacheService.getOrSet
   */
  async getOrSet(id: Id, options?: DefinedCallOptions): Promise<Value> {
    const loading = this.#options(options, 'getOrSet');
    return this.#cache.getOrSet<Value>(this.#key(id), (context) => this.#load(id, context), loading);
  }

  /**
   * Reads many values, and loads those together that are not there: by `loadMany`, or one by one without it.
   *
   * @returns the values in the order of the ids
   * @throws as CacheService.getOrSetMany
   * @see CacheService.getOrSetMany
   */
  async getOrSetMany(ids: readonly Id[], options?: DefinedCallOptions): Promise<Value[]> {
    const loading = this.#options(options, 'getOrSetMany');
    if (this.#source.loadMany === undefined) return Promise.all(ids.map((id) => this.getOrSet(id, options)));
    const places = ids.map((id) => ({ id, key: this.#key(id) }));
    const idOf = new Map(places.map(({ id, key }) => [key, id]));
    return this.#cache.getOrSetMany<Key, Value>(
      places.map(({ key }) => key),
      // Every key that is missing is one of those that were asked for.
      (missing, context) =>
        this.#loadMany(
          missing.map((key) => idOf.get(key) as Id),
          context,
        ),
      loading,
    );
  }

  /**
   * Loads a value anew, whatever is cached, and stores it. What was cached is not served as fresh from then on.
   *
   * A load that began before the call may have missed what the caller knows of, so it is not joined. While a refresh of this process is under way the others wait for its
   * end, and share one load after it: however many ask, one loads at a time, and each load is stored.
   * A refresh of another process ends this one's claim to store, so that the last one to begin does.
   *
   * @returns the value, loaded after the call; a stale one only where the loader has failed and `staleIfError` allows for it
   * @throws RedisUnavailableError when Redis is down or slow · as {@link getOrSet}
   * @see one EVALSHA, then as CacheService.getOrSet
   */
  async refresh(id: Id, options?: DefinedCallOptions): Promise<Value> {
    const loading = this.#options(options, 'refresh');
    return this.#cache.loadAnew<Value>(this.#key(id), (context) => this.#load(id, context), loading);
  }

  /** Stores a value that the store has already. @see CacheService.set */
  set(id: Id, value: Value): Promise<void> {
    return this.#cache.set(this.#key(id), value, this.#storing(value));
  }

  /** @see CacheService.setMany */
  async setMany(entries: Iterable<readonly [Id, Value]>): Promise<void> {
    await Promise.all([...entries].map(([id, value]) => this.set(id, value)));
  }

  /**
   * Writes a value to the store, by the bound `write`, and to the cache. What the store had before is never served again once it has resolved.
   *
   * @param options.first `'cache'` puts the value before the store has it. @default 'store'
   * @returns whether the cache has the value; `false`: it has been deleted there, or will be when Redis is back
   * @throws OptionsError when no `write` is bound · whatever it throws
   * @see CacheService.writeThrough
   */
  async write(id: Id, value: Value, given: Pick<WriteThroughOptions, 'first'> = {}): Promise<boolean> {
    checkKnownKeys(given, ['first'], `The cache "${this.name}", write`);
    const { first } = given;
    const source = this.#source;
    if (source.write === undefined) {
      throw new OptionsError(
        `The cache "${this.name}"`,
        'is bound without write. Let the useFactory of its forFeature return { load, write: (id, value) => repository.save(value) }.',
      );
    }
    const options = first === undefined ? this.#storing(value) : { ...this.#storing(value), first };
    return this.#cache.writeThrough(this.#key(id), value, () => source.write?.(id, value), options);
  }

  /** Deletes values, as after each change of the store that went past the cache. @see CacheService.delete */
  delete(...ids: Id[]): Promise<void> {
    return this.#cache.delete(...ids.map((id) => this.#key(id)));
  }

  /** @see CacheService.markStale */
  markStale(...ids: Id[]): Promise<void> {
    return this.#cache.markStale(...ids.map((id) => this.#key(id)));
  }

  /** Invalidates all values of this kind. @see CacheService.clear */
  clear(): Promise<void> {
    return this.#cache.clear();
  }

  /** @internal Values of it that are written later. @throws OptionsError when it is written through as well */
  readThrough(pending: PendingValues<Id, Value>): void {
    if (this.#source.write !== undefined) {
      throw new OptionsError(
        `The cache "${this.name}"`,
        'is bound to a write, and is written behind as well: what is written through would be overwritten by what is still pending. Leave write out of its forFeature.',
      );
    }
    if (this.#pending !== undefined) {
      throw new OptionsError(`The cache "${this.name}"`, 'is written behind by two modules. Bind it once.');
    }
    this.#pending = pending;
  }

  #key(id: Id): Key {
    return this.#definition.key(id);
  }

  /** As what is cached: without what its schema refuses, and as its schema makes it. */
  async #fitting(value: Value): Promise<Value | undefined> {
    const { schema } = this.#definition.options;
    if (schema === undefined) return value;
    const result = await schema['~standard'].validate(value);
    return result.issues === undefined ? result.value : undefined;
  }

  #options(given: DefinedCallOptions | undefined, call: string): GetOrSetOptions<Value> {
    if (given === undefined) return this.#loading;
    checkKnownKeys(given, ['signal'], `The cache "${this.name}", ${call}`);
    return given.signal === undefined ? this.#loading : { ...this.#loading, signal: given.signal };
  }

  #storing(value: Value): StoreOptions {
    const { ttl, staleWhileRevalidate, staleIfError, sliding, tags } = this.#definition.options;
    return {
      ...(ttl === undefined ? {} : { ttl }),
      ...(staleWhileRevalidate === undefined ? {} : { staleWhileRevalidate }),
      ...(staleIfError === undefined ? {} : { staleIfError }),
      ...(sliding === undefined ? {} : { sliding }),
      ...(tags === undefined ? {} : { tags: typeof tags === 'function' ? tags(value) : tags }),
    };
  }

  async #load(id: Id, context: LoadContext): Promise<Value> {
    const [pending] = await this.#pendingOf([id], context);
    if (pending !== undefined) return pending.value;
    if (this.#source.load !== undefined) return this.#source.load(id, context);
    const [value] = await this.#loadAll([id], context);
    return value as Value;
  }

  async #loadMany(ids: Id[], context: LoadContext): Promise<readonly Value[]> {
    if (this.#pending === undefined) return this.#loadAll(ids, context);
    const pending = await this.#pendingOf(ids, context);
    const missing = ids.filter((_, index) => pending[index] === undefined);
    const loaded = missing.length === 0 ? [] : [...(await this.#loadAll(missing, context))];
    return pending.map((found) => (found === undefined ? (loaded.shift() as Value) : found.value));
  }

  async #loadAll(ids: Id[], context: LoadContext): Promise<readonly Value[]> {
    const values: readonly Value[] = (await this.#source.loadMany?.(ids, context)) ?? [];
    if (hasLength(values, ids.length)) return values;
    throw new TypeError(
      `loadMany of the cache "${this.name}" was given ${ids.length} ids and has to return an array of as many values, in their order.`,
    );
  }

  /** What the store has may be older than what is pending: if nobody can tell, it is not to be kept. */
  async #pendingOf(
    ids: readonly Id[],
    context?: LoadContext,
  ): Promise<readonly ({ readonly value: Value } | undefined)[]> {
    if (this.#pending === undefined) return ids.map(() => undefined);
    try {
      return await this.#pending.find(ids);
    } catch {
      // Counted and told where it has failed.
      context?.skipCache();
      return ids.map(() => undefined);
    }
  }
}

/** The source is the user's: without types it may return anything. */
function hasLength(values: unknown, length: number): boolean {
  return Array.isArray(values) && values.length === length;
}
