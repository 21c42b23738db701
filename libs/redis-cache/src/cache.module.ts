import { Module, type DynamicModule } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { featureModule, type AsyncOptions, type FeatureModuleIdentity } from '@redstart/redis-core';
import { resolveCacheOptions, type CacheModuleOptions, type CacheOptions } from './cache.options.js';
import { CacheService } from './cache.service.js';
import { getCacheToken } from './cache.tokens.js';
import { KeylessCheck } from './decorators/keyless-check.js';

/**
 * Gives an application a cache in Redis, once per name. Global: import it in the root module, beside RedisModule.
 *
 * It provides {@link CacheService}, and what `@Cacheable` binds to.
 *
 * @example
 * imports: [RedisModule.forRoot({ namespace: 'shop', url }), RedisCacheModule.forRoot({ ttl: '5m' })]
 */
@Module({})
export class RedisCacheModule {
  /**
   * @throws OptionsError for options of the wrong type or range, with the option's name. At boot: for an unknown connection, a name that is
   *   used twice, and a `@Cacheable` whose missing `key` could share one user's data with all
   */
  static forRoot(options: CacheModuleOptions = {}): DynamicModule {
    const { connection: _connection, name, ...raw } = options;
    // Here once so that a wrong option is reported where it was written, and again when the application is built.
    resolveCacheOptions(raw, name);
    return feature().forRoot(options);
  }

  static forRootAsync(options: AsyncOptions<CacheOptions> & FeatureModuleIdentity): DynamicModule {
    return feature().forRootAsync(options);
  }
}

const feature = () =>
  featureModule<CacheOptions, CacheService>({
    module: RedisCacheModule,
    token: getCacheToken,
    service: CacheService,
    create: (connection, options, name) => CacheService.create(connection, resolveCacheOptions(options, name), name),
    providers: (name) => [
      {
        provide: Symbol.for(`RedisCacheModule "${name}": check of @Cacheable without key`),
        useFactory: (modules: ModulesContainer) => new KeylessCheck(modules, name),
        inject: [ModulesContainer],
      },
    ],
  });
