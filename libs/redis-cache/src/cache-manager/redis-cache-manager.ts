import { EventEmitter } from 'node:events';
import type { Cache, Events } from 'cache-manager';
import { Keyv } from 'keyv';
import type { CacheService } from '../cache.service.js';
import { longestOf } from '../interop/keyv-store.js';
import type { LoadContext } from '../load/load-context.js';
import type { ResolvedCacheManagerOptions } from './cache-manager.options.js';
import { PlainKeyvStore } from './plain-keyv-store.js';

/** One entry of `mset`. */
interface ListEntry<T> {
  key: string;
  value: T;
  ttl?: number;
}

type ByValue<T> = number | ((value: T) => number) | undefined;

interface WrapOptions<T> {
  ttl?: ByValue<T>;
  refreshThreshold?: ByValue<T>;
  raw?: boolean;
}

/**
 * The `Cache` of cache-manager, of its versions 6 and 7, on a {@link CacheService}: the same methods, with the ttl in milliseconds, and the same events. It holds the values of the
 * cache itself, so that one caller may use the one, and the next the other.
 *
 * What is better than there: `wrap` loads once in all processes, and never brings back what was deleted meanwhile; while Redis is away, reads are misses and `wrap` loads. What is
 * stricter: `set`, `mset`, `del`, `mdel` and `clear` reject with RedisUnavailableError then, as those of CacheService do, instead of leaving an older value behind in silence.
 */
export class RedisCacheManager implements Cache {
  /** One Keyv on the same values, for those who go by it. */
  readonly stores: Keyv[];
  readonly #cache: CacheService;
  readonly #options: ResolvedCacheManagerOptions;
  readonly #id: string;
  readonly #events = new EventEmitter();

  constructor(cache: CacheService, options: ResolvedCacheManagerOptions, name = 'default') {
    this.#cache = options.namespace === undefined ? cache : cache.namespace(options.namespace);
    this.#options = options;
    this.#id = options.cacheId ?? name;
    const keyv = new Keyv({ store: new PlainKeyvStore(this.#cache), useKeyPrefix: false });
    // Values as they are: the first two are how Keyv 5 says so, the other one is Keyv 6's.
    keyv.serialize = undefined;
    keyv.deserialize = undefined;
    if ('serialization' in keyv) keyv.serialization = undefined;
    this.stores = [keyv];
  }

  /** @returns `undefined` for a miss, and while Redis is away @see as `CacheService.get` */
  async get<T>(key: string): Promise<T | undefined> {
    const value = await this.#telling('get', { key }, () => this.#cache.get<T>(key));
    if (value !== undefined) this.#events.emit('get', { key, value });
    return value;
  }

  /** @see as `CacheService.getMany` */
  async mget<T>(keys: string[]): Promise<(T | undefined)[]> {
    const values = await this.#telling('mget', { keys }, () => this.#cache.getMany<T>(keys));
    this.#events.emit('mget', { keys, values });
    return values;
  }

  /** @returns when the value ends, as Unix time in milliseconds by this machine's clock @see as `CacheService.getEntry` */
  async ttl(key: string): Promise<number | undefined> {
    const entry = await this.#cache.getEntry(key);
    return entry === undefined || entry.stale ? undefined : Math.round(Date.now() + entry.ttl);
  }

  /** @param ttl milliseconds; 0 for as long as the cache allows @see as `CacheService.set` */
  async set<T>(key: string, value: T, ttl?: number): Promise<T> {
    await this.#telling('set', { key, value }, () => this.#store(key, value, ttl));
    this.#events.emit('set', { key, value });
    return value;
  }

  /** @see as `CacheService.setMany` */
  async mset<T>(list: ListEntry<T>[]): Promise<ListEntry<T>[]> {
    await this.#telling('mset', { list }, () =>
      Promise.all(list.map(({ key, value, ttl }) => this.#store(key, value, ttl))),
    );
    this.#events.emit('mset', { list });
    return list;
  }

  /** @see as `CacheService.delete` */
  async del(key: string): Promise<boolean> {
    await this.#telling('del', { key }, () => this.#cache.delete(key));
    this.#events.emit('del', { key });
    return true;
  }

  /** @see as `CacheService.delete` */
  async mdel(keys: string[]): Promise<boolean> {
    await this.#telling('mdel', { keys }, () => this.#cache.delete(...keys));
    this.#events.emit('mdel', { keys });
    return true;
  }

  /** All values of the cache, or of the `namespace` of the module. @see as `CacheService.clear` */
  async clear(): Promise<boolean> {
    try {
      await this.#cache.clear();
    } catch (error) {
      this.#events.emit('clear', error);
      throw error;
    }
    this.#events.emit('clear');
    return true;
  }

  /**
   * Reads a value, and loads and stores it when there is none, once in all processes. A loaded `undefined` is not stored, `null` is.
   *
   * @param ttl milliseconds, or a function of the loaded value, or options with `ttl`, `refreshThreshold` and `raw`
   * @param refreshThreshold when a value has less than that left, in milliseconds, it is loaded anew in the background: costs a PTTL for each call
   * @throws whatever the loader throws
   * @see as `CacheService.getOrSet`
   */
  async wrap<T>(
    key: string,
    load: () => T | Promise<T>,
    ttl?: number | ((value: T) => number),
    refreshThreshold?: number | ((value: T) => number),
  ): Promise<T>;
  async wrap<T>(key: string, load: () => T | Promise<T>, options: WrapOptions<T> & { raw?: false }): Promise<T>;
  async wrap<T>(
    key: string,
    load: () => T | Promise<T>,
    options: WrapOptions<T> & { raw: true },
  ): Promise<{ value: T; expires?: number | undefined }>;
  async wrap<T>(
    key: string,
    load: () => T | Promise<T>,
    second?: ByValue<T> | WrapOptions<T>,
    third?: ByValue<T>,
  ): Promise<T | { value: T; expires?: number | undefined }> {
    const options: WrapOptions<T> = typeof second === 'object' ? second : { ttl: second, refreshThreshold: third };
    const value = await this.#wrap(key, load, options);
    return options.raw === true ? { value, expires: await this.ttl(key) } : value;
  }

  on<E extends keyof Events>(event: E, listener: Events[E]): EventEmitter {
    return this.#events.on(event, listener);
  }

  off<E extends keyof Events>(event: E, listener: Events[E]): EventEmitter {
    return this.#events.off(event, listener);
  }

  /** Does nothing: the connection is the application's, which closes it. */
  disconnect(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  cacheId(): string {
    return this.#id;
  }

  async #wrap<T>(key: string, load: () => T | Promise<T>, { ttl, refreshThreshold }: WrapOptions<T>): Promise<T> {
    const loader = async (context: LoadContext) => {
      const value = await load();
      if (value === undefined) context.skipCache();
      const lives = this.#ttlOf(byValue(ttl, value));
      if (lives !== undefined) context.setTtl(lives);
      return value;
    };
    const threshold = refreshThreshold ?? this.#options.refreshThresholdMs;
    const entry = threshold === undefined ? undefined : await this.#cache.getEntry<T>(key);
    if (entry === undefined || entry.stale) return this.#loadOnce(key, loader);
    if (entry.ttl >= (byValue(threshold, entry.value) ?? 0)) return entry.value;
    await this.#cache.refresh<T>(key, this.#refreshing(key, entry.value, loader), { nullTtl: this.#cache.longestTtl });
    return entry.value;
  }

  async #loadOnce<T>(key: string, loader: (context: LoadContext) => Promise<T>): Promise<T> {
    const own = { loaded: false };
    const load = async (context: LoadContext) => {
      const value = await loader(context);
      own.loaded = true;
      return value;
    };
    const value = await this.#cache.getOrSet<T>(key, load, { refreshAhead: false, nullTtl: this.#cache.longestTtl });
    if (own.loaded) this.#events.emit('set', { key, value });
    return value;
  }

  /** In the background nobody hears of it but by the event. */
  #refreshing<T>(key: string, old: T, loader: (context: LoadContext) => Promise<T>) {
    return async (context: LoadContext): Promise<T> => {
      try {
        const value = await loader(context);
        this.#events.emit('refresh', { key, value });
        return value;
      } catch (error) {
        this.#events.emit('refresh', { key, value: old, error });
        throw error;
      }
    };
  }

  /** `undefined` reads as a miss, so it is stored as one. */
  async #store(key: string, value: unknown, ttl: number | undefined): Promise<void> {
    if (value === undefined) return this.#cache.delete(key);
    const lives = this.#ttlOf(ttl);
    await this.#cache.set(key, value, lives === undefined ? {} : { ttl: lives });
  }

  /** @returns `undefined` for the ttl of RedisCacheModule */
  #ttlOf(asked: number | undefined): number | undefined {
    const ttl = asked ?? this.#options.ttlMs;
    return ttl === undefined ? undefined : longestOf(this.#cache, ttl);
  }

  async #telling<T>(event: string, about: object, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      this.#events.emit(event, { ...about, error });
      throw error;
    }
  }
}

function byValue<T>(given: ByValue<T>, value: T): number | undefined {
  return typeof given === 'function' ? given(value) : given;
}
