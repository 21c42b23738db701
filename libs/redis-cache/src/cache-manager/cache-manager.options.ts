import { checkKnownKeys, checkText, durationMs, OptionsError, type Duration } from '@redstart/redis-core';

/** Options of `CacheModule.register`, as @nestjs/cache-manager has them where they make sense. */
export interface CacheManagerOptions {
  /** How long a value lives when `set` and `wrap` don't say; 0 for as long as the cache allows (`maxTtl`). @default the ttl of RedisCacheModule */
  ttl?: Duration;
  /** When what `wrap` has found has less than that left, it is loaded anew in the background. @default never */
  refreshThreshold?: Duration;
  /** Values have keys of their own then, which CacheService finds in `cache.namespace(…)`. @default none: the values of the cache itself */
  namespace?: string;
  /** What `cacheId()` says. @default the name of the cache */
  cacheId?: string;
}

/** {@link CacheManagerOptions}, checked. Durations are milliseconds. */
export interface ResolvedCacheManagerOptions {
  readonly ttlMs: number | undefined;
  readonly refreshThresholdMs: number | undefined;
  readonly namespace: string | undefined;
  readonly cacheId: string | undefined;
}

const known = ['ttl', 'refreshThreshold', 'namespace', 'cacheId'] as const satisfies (keyof CacheManagerOptions)[];

/** What @nestjs/cache-manager has beyond that, and why it is not taken. */
const gone: Readonly<Record<string, string>> = {
  stores:
    'is not an option: values are in Redis, where RedisModule.forRoot({ url }) says. Remove it, and the client that it built.',
  store: 'is not an option: values are in Redis, where RedisModule.forRoot({ url }) says. Remove it.',
  nonBlocking: 'is not an option: no call waits for Redis longer than the `budget` of RedisCacheModule. Remove it.',
  refreshAllStores:
    'is not an option: there is one store, and the near tiers of all processes hear of every change. Remove it.',
};

/** @throws OptionsError */
export function resolveCacheManagerOptions(raw: CacheManagerOptions): ResolvedCacheManagerOptions {
  const where = 'CacheModule';
  for (const [option, reason] of Object.entries(gone)) {
    if (Object.hasOwn(raw, option)) throw new OptionsError(`${where}.${option}`, reason);
  }
  checkKnownKeys(raw, known, where);
  const { ttl, refreshThreshold, namespace, cacheId } = raw;
  return Object.freeze({
    ttlMs: ttl === undefined ? undefined : durationMs(ttl, `${where}.ttl`, { min: 0 }),
    refreshThresholdMs:
      refreshThreshold === undefined ? undefined : durationMs(refreshThreshold, `${where}.refreshThreshold`),
    namespace: namespace === undefined ? undefined : checkText(namespace, `${where}.namespace`),
    cacheId: cacheId === undefined ? undefined : checkText(cacheId, `${where}.cacheId`),
  });
}
