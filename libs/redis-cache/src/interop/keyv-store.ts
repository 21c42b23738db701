import { OptionsError } from '@redstart/redis-core';
import type { CacheService } from '../cache.service.js';

/** A value as Keyv hands it over to be stored. */
export interface KeyvStoreEntry {
  key: string;
  value: unknown;
  /** Milliseconds. */
  ttl?: number;
}

/** Where the values of a Keyv without a namespace are: not among those of the cache, which its `clear` would take along. */
const ownNamespace = 'keyv';

/**
 * A store for [Keyv](https://keyv.org) in a cache of Redstart, with its budgets, breaker, near tier and size limit, on the connection that the application has anyway.
 *
 * It needs nothing of Keyv itself: it has the shape of its `KeyvStoreAdapter`. Values are in the namespace that Keyv names, so its `clear` is one small write and takes nothing
 * else along. What Keyv keeps without a ttl lives for the cache's `maxTtl`. Reads are misses while Redis is away; what fails to be written, Keyv
 * emits as `error`.
 *
 * @example  const keyv = new Keyv({ store: new RedisKeyvStore(cache), namespace: 'sessions', useKeyPrefix: false });
 */
export class RedisKeyvStore {
  /** Tells Keyv that it can iterate. */
  readonly opts = Object.freeze({ dialect: 'redis' });
  /** Set by Keyv, to what it was given. */
  namespace: string | undefined = undefined;
  readonly #cache: CacheService;
  #opened: { readonly name: string; readonly cache: CacheService } | undefined;

  constructor(cache: CacheService) {
    this.#cache = cache;
  }

  /** @see as `CacheService.get` */
  async get<Value>(key: string): Promise<Value | undefined> {
    return this.#in(this.namespace).get<Value>(key);
  }

  /** @see as `CacheService.getMany` */
  async getMany<Value>(keys: string[]): Promise<(Value | undefined)[]> {
    return this.#in(this.namespace).getMany<Value>(keys);
  }

  /** @param ttl milliseconds; what has none lives as long as the cache allows, and what is over is deleted @see as `CacheService.set` */
  async set(key: string, value: unknown, ttl?: number): Promise<boolean> {
    const cache = this.#in(this.namespace);
    if (ttl !== undefined && ttl < 0) await cache.delete(key);
    else await cache.set(key, value, { ttl: longestOf(cache, ttl) });
    return true;
  }

  /** @returns `true` for each, as Keyv passes it on; the types of Keyv 5 do not ask for it yet @see as `CacheService.setMany` */
  setMany(entries: KeyvStoreEntry[]): Promise<boolean[]>;
  setMany(entries: KeyvStoreEntry[]): Promise<void>;
  async setMany(entries: KeyvStoreEntry[]): Promise<unknown> {
    return Promise.all(entries.map(({ key, value, ttl }) => this.set(key, value, ttl)));
  }

  /** @returns whether there was one @see a read, then UNLINK */
  async delete(key: string): Promise<boolean> {
    const cache = this.#in(this.namespace);
    const found = await cache.has(key);
    // Deleted in any case: a load may be under way, or Redis have been too slow to tell.
    await cache.delete(key);
    return found;
  }

  /** @returns whether there was one under each key */
  async deleteMany(keys: string[]): Promise<boolean> {
    return (await Promise.all(keys.map((key) => this.delete(key)))).every((found) => found);
  }

  /** Of the namespace, and of nothing else. @see one EVALSHA */
  async clear(): Promise<void> {
    await this.#in(this.namespace).clear();
  }

  async has(key: string): Promise<boolean> {
    return this.#in(this.namespace).has(key);
  }

  async hasMany(keys: string[]): Promise<boolean[]> {
    return Promise.all(keys.map((key) => this.has(key)));
  }

  /**
   * What is in the namespace: for operators and rare events, since it looks through all keys of Redis. What is stored meanwhile may be missed; keys of more than 1 KB are.
   * @see SCAN on every master, and `getMany` of what it finds
   */
  async *iterator<Value>(
    namespace: string | undefined = this.namespace,
  ): AsyncGenerator<(string | Awaited<Value> | undefined)[], void> {
    const cache = this.#in(namespace);
    for await (const keys of cache.storedKeys()) {
      const values = await cache.getMany<Awaited<Value>>(keys);
      for (const [index, value] of values.entries()) if (value !== undefined) yield [keys[index], value];
    }
  }

  /** Does nothing: the connection is the application's, which closes it. */
  async disconnect(): Promise<void> {
    // Others are on it.
  }

  /** What goes wrong is thrown, and Keyv emits it: there is nothing to listen for here. */
  on(_event: string, _listener: (...args: never[]) => void): this {
    return this;
  }

  #in(namespace: string | undefined): CacheService {
    const name = namespace ?? ownNamespace;
    if (this.#opened?.name !== name) this.#opened = { name, cache: this.#cache.namespace(name) };
    return this.#opened.cache;
  }
}

/**
 * A ttl in the terms of caches that know a value without one: `undefined` and 0. Redstart's have none without an end.
 * @throws OptionsError for what is no number
 */
export function longestOf({ longestTtl }: CacheService, ttl: number | undefined): number {
  if (ttl === undefined || ttl === 0) return longestTtl;
  const wholeMs = Math.floor(ttl);
  if (Number.isNaN(wholeMs)) {
    const got = typeof ttl === 'number' ? 'NaN' : `a value of type ${typeof ttl}`;
    throw new OptionsError('ttl', `got ${got}; expected milliseconds, as a number such as 5000.`);
  }
  return Math.min(Math.max(1, wholeMs), longestTtl);
}
