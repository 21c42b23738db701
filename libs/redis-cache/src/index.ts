export { RedisCacheModule } from './cache.module.js';
export type { CacheModuleOptions, CacheOptions, GetOrSetOptions, StoreOptions } from './cache.options.js';
export { CacheService } from './cache.service.js';
export type { CacheEntry } from './entry/entry-codec.js';
export type { CacheStats } from './cache.stats.js';
export { getCacheToken, InjectCache } from './cache.tokens.js';
export { Cacheable, type CacheableDecorator, type CacheableOptions } from './decorators/cacheable.js';
export { CacheCycleError } from './cache.errors.js';
export { provideNoopCache } from './noop-cache.js';
