import type { Provider } from '@nestjs/common';
import { KeySpace, type Key } from '@redstart/redis-core';
import type { Loader } from './calls/call.options.js';
import { CacheService } from './cache.service.js';
import { StatsCounter, type CacheStats } from './cache.stats.js';
import { getCacheToken } from './cache.tokens.js';
import type { CacheSource } from './definition/cache-source.js';
import type { CacheDefinition } from './definition/define-cache.js';
import { DefinedCache } from './definition/defined-cache.js';
import { CacheKeys } from './keys.js';
import type { LoadContext } from './load/load-context.js';

/** What a loader says of a value is of no interest where nothing is stored. */
const nothingToSay: LoadContext = Object.freeze({
  staleValue: undefined,
  setTtl: () => undefined,
  addTags: () => undefined,
  skipCache: () => undefined,
});

/** A cache that holds nothing: every read is a miss, every loader runs. */
class NoopCache implements Pick<CacheService, keyof CacheService> {
  readonly longestTtl = Infinity;
  readonly keys = CacheKeys.of(new KeySpace('noop'), 'default');

  get(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  getEntry(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  has(): Promise<boolean> {
    return Promise.resolve(false);
  }

  getMany(keys: readonly Key[]): Promise<undefined[]> {
    return Promise.resolve(keys.map(() => undefined));
  }

  async getOrSet<T>(_key: Key, loader: Loader<T>): Promise<T> {
    return loader(nothingToSay);
  }

  async getOrSetMany<K extends Key, T>(
    keys: readonly K[],
    loader: (missing: K[], context: LoadContext) => readonly T[] | Promise<readonly T[]>,
  ): Promise<T[]> {
    return [...(await loader([...keys], nothingToSay))];
  }

  set(): Promise<void> {
    return Promise.resolve();
  }

  setMany(): Promise<void> {
    return Promise.resolve();
  }

  async writeThrough<T>(_key: Key, value: T, write: (value: T) => unknown): Promise<boolean> {
    await write(value);
    return false;
  }

  delete(): Promise<void> {
    return Promise.resolve();
  }

  deleteByPrefix(): Promise<number> {
    return Promise.resolve(0);
  }

  touch(): Promise<boolean> {
    return Promise.resolve(false);
  }

  invalidateTags(): Promise<void> {
    return Promise.resolve();
  }

  markStale(): Promise<void> {
    return Promise.resolve();
  }

  markTagsStale(): Promise<void> {
    return Promise.resolve();
  }

  clear(): Promise<void> {
    return Promise.resolve();
  }

  checkPermissions(): Promise<void> {
    return Promise.resolve();
  }

  refresh(): Promise<void> {
    return Promise.resolve();
  }

  loadAnew<T>(key: Key, loader: Loader<T>): Promise<T> {
    return this.getOrSet(key, loader);
  }

  async *storedKeys(): AsyncGenerator<string[], void> {
    // Nothing is stored.
  }

  namespace(): CacheService {
    return asService(this);
  }

  versioned(): CacheService {
    return asService(this);
  }

  stats(): CacheStats {
    return new StatsCounter({ cache: 'default', connection: 'default' }).snapshot();
  }
}

/**
 * Stands in for RedisCacheModule in unit tests without Redis: methods with `@Cacheable` just run. Or for `forFeature`: every read of a defined cache asks the given source.
 *
 * @example  Test.createTestingModule({ providers: [FlightService, ...provideNoopCache()] })
 * @example  Test.createTestingModule({ providers: [FlightService, ...provideNoopCache(flights, { load: (id) => flight })] })
 */
export function provideNoopCache(name?: string): Provider[];
export function provideNoopCache<Id, Value>(
  definition: CacheDefinition<Id, Value>,
  source: CacheSource<Id, Value>,
): Provider[];
export function provideNoopCache(
  which: string | CacheDefinition<unknown, unknown> = 'default',
  source: CacheSource<unknown, unknown> = {},
): Provider[] {
  if (typeof which === 'object') {
    return [{ provide: which.token, useFactory: () => new DefinedCache(which, asService(new NoopCache()), source) }];
  }
  const token = getCacheToken(which);
  return [
    { provide: token, useFactory: () => asService(new NoopCache()) },
    ...(which === 'default' ? [{ provide: CacheService, useExisting: token }] : []),
  ];
}

/** Private fields make the class nominal, so whatever has its whole public face still has to be called one. */
function asService(noop: Pick<CacheService, keyof CacheService>): CacheService {
  return noop as CacheService;
}
