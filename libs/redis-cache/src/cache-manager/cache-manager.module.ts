import {
  ConfigurableModuleBuilder,
  Module,
  type ConfigurableModuleAsyncOptions,
  type DynamicModule,
  type Provider,
} from '@nestjs/common';
import { Cache, CACHE_MANAGER } from '@nestjs/cache-manager';
import { CacheService } from '../cache.service.js';
import { getCacheToken } from '../cache.tokens.js';
import { resolveCacheManagerOptions, type CacheManagerOptions } from './cache-manager.options.js';
import { RedisCacheManager } from './redis-cache-manager.js';

/** What stands beside the options, outside of a factory. */
interface Placement {
  /** Makes it global. @default false */
  isGlobal?: boolean;
  /** The name of the RedisCacheModule whose values these are. @default 'default' */
  cache?: string;
}

const builder = new ConfigurableModuleBuilder<CacheManagerOptions>({ moduleName: 'Cache' })
  .setFactoryMethodName('createCacheOptions')
  .setExtras<Placement>({ isGlobal: false, cache: 'default' }, (definition, { isGlobal, cache }) => ({
    ...definition,
    global: isGlobal === true,
    providers: [...(definition.providers ?? []), ...managerOf(cache ?? 'default')],
    exports: [CACHE_MANAGER, Cache],
  }));
const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN } = builder.build();

export type CacheModuleOptions = CacheManagerOptions & Placement;

export interface CacheModuleAsyncOptions
  extends Placement, ConfigurableModuleAsyncOptions<CacheManagerOptions, 'createCacheOptions'> {
  /** Providers that the factory needs. */
  extraProviders?: Provider[];
}

/** What `useClass` and `useExisting` of `CacheModule.registerAsync` have to provide. */
export interface CacheOptionsFactory {
  createCacheOptions(): Promise<CacheManagerOptions> | CacheManagerOptions;
}

/**
 * Takes the place of the `CacheModule` of @nestjs/cache-manager: provides `CACHE_MANAGER` and `Cache`, so everything that injects them goes by Redis, `CacheInterceptor` as
 * well. RedisModule and RedisCacheModule have to be imported in the root module.
 *
 * @example  imports: [CacheModule.register({ ttl: 5_000, isGlobal: true })]
 */
@Module({})
export class CacheModule extends ConfigurableModuleClass {
  /** @throws OptionsError for unknown options, with what takes their place. At boot: when RedisCacheModule is missing */
  static override register(options: CacheModuleOptions = {}): DynamicModule {
    const { isGlobal: _isGlobal, cache: _cache, ...raw } = options;
    // Here once so that a wrong option is reported where it was written, and again when the application is built.
    resolveCacheManagerOptions(raw);
    return super.register(options);
  }

  static override registerAsync({ extraProviders = [], ...options }: CacheModuleAsyncOptions): DynamicModule {
    const definition = super.registerAsync(options);
    return { ...definition, providers: [...(definition.providers ?? []), ...extraProviders] };
  }
}

function managerOf(cache: string): Provider[] {
  return [
    {
      provide: CACHE_MANAGER,
      useFactory: (service: CacheService, options: CacheManagerOptions) =>
        new RedisCacheManager(service, resolveCacheManagerOptions(options), cache),
      inject: [getCacheToken(cache), MODULE_OPTIONS_TOKEN],
    },
    { provide: Cache, useExisting: CACHE_MANAGER },
  ];
}
