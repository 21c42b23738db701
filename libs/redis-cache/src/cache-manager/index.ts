// All that users of @nestjs/cache-manager import from there, but for the module, which takes its place.
export * from '@nestjs/cache-manager';
export {
  CacheModule,
  type CacheModuleAsyncOptions,
  type CacheModuleOptions,
  type CacheOptionsFactory,
} from './cache-manager.module.js';
export type { CacheManagerOptions } from './cache-manager.options.js';
export { RedisCacheManager } from './redis-cache-manager.js';
