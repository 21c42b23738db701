import type { CacheService } from '../cache.service.js';
import { longestOf, type KeyvStoreEntry } from '../interop/keyv-store.js';

/** What a Keyv that does not serialize hands over, and wants back. */
interface KeyvData<Value = unknown> {
  readonly value: Value;
  /** Unix time in milliseconds. */
  readonly expires?: number | undefined;
}

/**
 * A store for the Keyv in `Cache.stores`: what it stores are the values of the cache themselves, so that whoever goes by Keyv sees the same as those who don't.
 */
export class PlainKeyvStore {
  readonly opts = Object.freeze({ dialect: 'redis' });
  readonly #cache: CacheService;

  constructor(cache: CacheService) {
    this.#cache = cache;
  }

  async get<Value>(key: string): Promise<KeyvData<Value> | undefined> {
    const entry = await this.#cache.getEntry<Value>(key);
    if (entry === undefined || entry.stale) return undefined;
    return { value: entry.value, expires: Math.round(Date.now() + entry.ttl) };
  }

  async getMany<Value>(keys: string[]): Promise<(KeyvData<Value> | undefined)[]> {
    return Promise.all(keys.map((key) => this.get<Value>(key)));
  }

  async set(key: string, data: unknown, ttl?: number): Promise<boolean> {
    await this.#cache.set(key, valueOf(data), { ttl: longestOf(this.#cache, ttl) });
    return true;
  }

  async setMany(entries: KeyvStoreEntry[]): Promise<boolean[]> {
    return Promise.all(entries.map(({ key, value, ttl }) => this.set(key, value, ttl)));
  }

  async delete(key: string): Promise<boolean> {
    const found = await this.#cache.has(key);
    await this.#cache.delete(key);
    return found;
  }

  async clear(): Promise<void> {
    await this.#cache.clear();
  }

  async has(key: string): Promise<boolean> {
    return this.#cache.has(key);
  }

  async *iterator<Value>(): AsyncGenerator<(string | KeyvData<Value>)[], void> {
    for await (const keys of this.#cache.storedKeys()) {
      for (const key of keys) {
        const data = await this.get<Value>(key);
        if (data !== undefined) yield [key, data];
      }
    }
  }

  async disconnect(): Promise<void> {
    // The connection is the application's.
  }

  on(): this {
    return this;
  }
}

function valueOf(data: unknown): unknown {
  return typeof data === 'object' && data !== null && 'value' in data ? data.value : undefined;
}
