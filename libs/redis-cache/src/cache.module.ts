import { Module, type DynamicModule } from '@nestjs/common';
import { ApplicationConfig, HttpAdapterHost, ModulesContainer } from '@nestjs/core';
import {
  featureModule,
  getRedisConnectionToken,
  RedisConnections,
  type AsyncOptions,
  type FeatureModuleIdentity,
  type RedisConnection,
} from '@redstart/redis-core';
import { resolveCacheOptions, type CacheModuleOptions, type CacheOptions } from './cache.options.js';
import { CacheService } from './cache.service.js';
import { getCacheConnectionToken, getCacheToken } from './cache.tokens.js';
import { bindCaches, checkDefinitions, type CacheBinding } from './definition/bind-caches.js';
import { KeylessCheck } from './decorators/keyless-check.js';
import { cacheRoutes } from './http/cache-routes.js';

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
   *   used twice, for a user of Redis that may not do what a cache does, and for a `@Cacheable` whose missing `key` could share one user's data with all
   */
  static forRoot(options: CacheModuleOptions = {}): DynamicModule {
    const { connection: _connection, name, ...raw } = options;
    // Here once so that a wrong option is reported where it was written, and again when the application is built.
    resolveCacheOptions(raw, name);
    return feature(options.connection).forRoot(options);
  }

  static forRootAsync(options: AsyncOptions<CacheOptions> & FeatureModuleIdentity): DynamicModule {
    return feature(options.connection).forRootAsync(options);
  }

  /**
   * Binds defined caches to what loads and writes their values, and provides a `DefinedCache` for each: `@InjectCache(definition)`.
   *
   * @throws OptionsError for a binding that is none. At boot: for a source without `load` and `loadMany`, a definition that is bound twice, and two of one name
   * @example
   * RedisCacheModule.forFeature([
   *   { cache: flights, inject: [FlightRepository], useFactory: (repo: FlightRepository) => ({ load: (id) => repo.find(id) }) },
   * ])
   */
  static forFeature<const Definitions extends readonly unknown[]>(bindings: {
    readonly [index in keyof Definitions]: CacheBinding<Definitions[index]>;
  }): DynamicModule {
    return bindCaches(bindings as readonly CacheBinding<never>[]);
  }
}

const feature = (connection?: string) =>
  featureModule<CacheOptions, CacheService>({
    module: RedisCacheModule,
    token: getCacheToken,
    service: CacheService,
    create: (connection, options, name) => CacheService.create(connection, resolveCacheOptions(options, name), name),
    providers: (name) => [
      {
        provide: getCacheConnectionToken(name),
        // That the connection is there is checked with the cache, whose error lists the known ones.
        useFactory: (_cache: CacheService, redis: RedisConnection) => redis,
        inject: [getCacheToken(name), { token: getRedisConnectionToken(connection), optional: true }],
      },
      {
        provide: Symbol.for(`RedisCacheModule "${name}": check of permissions`),
        useFactory: async (cache: CacheService, connections: RedisConnections) => {
          try {
            await cache.checkPermissions(name);
          } catch (error) {
            // Nest calls no hook of an application whose building failed: what has connected would stay open.
            void connections.closeAll();
            throw error;
          }
        },
        inject: [getCacheToken(name), RedisConnections],
      },
      {
        provide: Symbol.for(`RedisCacheModule "${name}": check of definitions`),
        useFactory: (modules: ModulesContainer, connections: RedisConnections) => {
          try {
            checkDefinitions(modules);
          } catch (error) {
            // As above.
            void connections.closeAll();
            throw error;
          }
        },
        inject: [ModulesContainer, RedisConnections],
      },
      {
        provide: Symbol.for(`RedisCacheModule "${name}": check of @Cacheable without key`),
        useFactory: (modules: ModulesContainer) => new KeylessCheck(modules, name),
        inject: [ModulesContainer],
      },
      {
        provide: Symbol.for(`RedisCacheModule "${name}": routes with @HttpCache`),
        useFactory: cacheRoutes(name),
        inject: [ModulesContainer, ApplicationConfig, HttpAdapterHost, getCacheToken(name)],
      },
    ],
  });
