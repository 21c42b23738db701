import { Module, type DynamicModule } from '@nestjs/common';
import {
  featureModule,
  type AsyncOptions,
  type FeatureModuleDefinition,
  type FeatureModuleIdentity,
} from '@redstart/redis-core';
import { checkNodeConnections, checkNodes } from './quorum/nodes.js';
import { moduleName, resolveLockOptions, type RedisLockOptions } from './lock.options.js';
import { LockService } from './lock.service.js';
import { getLockToken } from './lock.tokens.js';

/** Outside the factory, so that it is known before any factory runs. */
export interface RedisLockModuleIdentity extends FeatureModuleIdentity {
  /**
   * Names of connections to independent Redis masters, in place of `connection`: a lock is held when more than half of them grant it (Redlock), and so outlives
   * the failure of fewer than half. An odd number, 3 or 5.
   */
  nodes?: readonly string[];
}
export type RedisLockModuleOptions = RedisLockOptions & RedisLockModuleIdentity;
export type RedisLockModuleAsyncOptions = AsyncOptions<RedisLockOptions> & RedisLockModuleIdentity;

/**
 * Provides a {@link LockService} and makes `@WithLock` work. Global: import it in the root module, beside `RedisModule`.
 *
 * @example
 * RedisLockModule.forRoot({ ttl: '30s', waitTimeout: '10s' })
 * @example
 * RedisLockModule.forRoot({ nodes: ['lock-a', 'lock-b', 'lock-c'] }) // each is the name of a RedisModule
 * @example
 * RedisLockModule.forRootAsync({ inject: [ConfigService], useFactory: (config) => ({ ttl: config.get('LOCK_TTL') }) })
 */
@Module({})
export class RedisLockModule {
  /** @throws OptionsError for options of the wrong type or range, with the option's name */
  static forRoot(options: RedisLockModuleOptions = {}): DynamicModule {
    const { nodes, ...rest } = options;
    const { connection, name, ...raw } = rest;
    // Resolved here once so that a wrong option is reported where it was written, and again when the service is built.
    resolveLockOptions(raw, name, nodes !== undefined);
    return lockModule(resolveNodes(nodes, connection, name)).forRoot(rest);
  }

  static forRootAsync(options: RedisLockModuleAsyncOptions): DynamicModule {
    const { nodes, ...rest } = options;
    return lockModule(resolveNodes(nodes, rest.connection, rest.name)).forRootAsync(rest);
  }
}

function resolveNodes(nodes: unknown, connection: string | undefined, name: string | undefined) {
  return nodes === undefined ? undefined : checkNodes(nodes, connection, moduleName(name));
}

function lockModule(nodes: readonly string[] | undefined) {
  const definition: FeatureModuleDefinition<RedisLockOptions, LockService> = {
    module: RedisLockModule,
    token: getLockToken,
    service: LockService,
    ...(nodes === undefined ? {} : { connections: nodes }),
    create: (connection, options, name, connections) => {
      const resolved = resolveLockOptions(options, name, nodes !== undefined);
      if (nodes !== undefined) checkNodeConnections(connections, moduleName(name));
      return new LockService(connection, resolved, connections);
    },
  };
  return featureModule(definition);
}
