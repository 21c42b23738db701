import type { Provider } from '@nestjs/common';
import type { Key } from '@redstart/redis-core';
import { CacheService } from './cache.service.js';
import { StatsCounter, type CacheStats } from './cache.stats.js';
import { getCacheToken } from './cache.tokens.js';

/** A cache that holds nothing: every read is a miss, every loader runs. */
class NoopCache implements Pick<CacheService, keyof CacheService> {
  get(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  getEntry(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  has(): Promise<boolean> {
    return Promise.resolve(false);
  }

  async getOrSet<T>(_key: Key, loader: () => T | Promise<T>): Promise<T> {
    return loader();
  }

  set(): Promise<void> {
    return Promise.resolve();
  }

  delete(): Promise<void> {
    return Promise.resolve();
  }

  namespace(): CacheService {
    return asService(this);
  }

  stats(): CacheStats {
    return new StatsCounter().snapshot();
  }
}

/**
 * Stands in for RedisCacheModule in unit tests without Redis: methods with `@Cacheable` just run.
 *
 * @example  Test.createTestingModule({ providers: [FlightService, ...provideNoopCache()] })
 */
export function provideNoopCache(name = 'default'): Provider[] {
  const token = getCacheToken(name);
  return [
    { provide: token, useFactory: () => asService(new NoopCache()) },
    ...(name === 'default' ? [{ provide: CacheService, useExisting: token }] : []),
  ];
}

/** Private fields make the class nominal, so whatever has its whole public face still has to be called one. */
function asService(noop: Pick<CacheService, keyof CacheService>): CacheService {
  return noop as CacheService;
}
