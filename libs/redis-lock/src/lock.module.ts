import { Module, type DynamicModule } from '@nestjs/common';
import {
  featureModule,
  type AsyncOptions,
  type FeatureModuleDefinition,
  type FeatureModuleIdentity,
} from '@redstart/redis-core';
import { resolveLockOptions, type RedisLockOptions } from './lock.options.js';
import { LockService } from './lock.service.js';
import { getLockToken } from './lock.tokens.js';

export type RedisLockModuleOptions = RedisLockOptions & FeatureModuleIdentity;
export type RedisLockModuleAsyncOptions = AsyncOptions<RedisLockOptions> & FeatureModuleIdentity;

/**
 * Provides a {@link LockService} and makes `@WithLock` work. Global: import it in the root module, beside `RedisModule`.
 *
 * @example
 * RedisLockModule.forRoot({ ttl: '30s', waitTimeout: '10s' })
 * @example
 * RedisLockModule.forRootAsync({ inject: [ConfigService], useFactory: (config) => ({ ttl: config.get('LOCK_TTL') }) })
 */
@Module({})
export class RedisLockModule {
  /** @throws OptionsError for options of the wrong type or range, with the option's name */
  static forRoot(options: RedisLockModuleOptions = {}): DynamicModule {
    const { connection: _connection, name, ...raw } = options;
    // Resolved here once so that a wrong option is reported where it was written, and again when the service is built.
    resolveLockOptions(raw, name);
    return lockModule().forRoot(options);
  }

  static forRootAsync(options: RedisLockModuleAsyncOptions): DynamicModule {
    return lockModule().forRootAsync(options);
  }
}

function lockModule() {
  const definition: FeatureModuleDefinition<RedisLockOptions, LockService> = {
    module: RedisLockModule,
    token: getLockToken,
    service: LockService,
    create: (connection, options, name) => new LockService(connection, resolveLockOptions(options, name)),
  };
  return featureModule(definition);
}
