import { Global, Module, type DynamicModule, type InjectionToken, type Provider } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { RedisConnection } from './connection/redis-connection.js';
import { RedisConnections, RedisConnectionsModule } from './connection/redis-connections.js';
import { RedstartExceptionFilter } from './http/redstart-exception.filter.js';
import { asyncOptionsProviders, type AsyncOptions } from './module/async-options.js';
import { checkText } from './options/check.js';
import {
  defaultConnectionName,
  resolveRedisOptions,
  type RedisModuleOptions,
  type RedisOptionsBase,
} from './redis.options.js';
import { getRedisConnectionToken, getRedisPoolToken, getRedisToken } from './redis.tokens.js';

/** `name` and `httpErrors` stand outside the factory: they shape the module before any factory can run. */
export type RedisModuleAsyncOptions = AsyncOptions<RedisOptionsBase> & { name?: string; httpErrors?: boolean };

/**
 * Connects an application to Redis, once per name. Global: import it in the root module.
 *
 * The connection opens while the application boots (`startup: 'wait'`) or behind it (`'lazy'`), and closes as the very last thing, so
 * that requests in flight at shutdown still have Redis.
 *
 * @example
 * RedisModule.forRoot({ namespace: 'shop', url: 'redis://127.0.0.1:6379' })
 * @example
 * RedisModule.forRootAsync({ inject: [ConfigService], useFactory: (config) => ({ namespace: 'shop', url: config.get('REDIS_URL') }) })
 */
@Global()
@Module({})
export class RedisModule {
  /** @throws OptionsError for options of the wrong type or range, with the option's name */
  static forRoot(options: RedisModuleOptions): DynamicModule {
    const { name, ...base } = options;
    // Resolved here once so that a wrong option is reported where it was written, and again when the application is built.
    resolveRedisOptions(base, name);
    const token = Symbol('RedisModule options');
    return describe(name, base.httpErrors, token, [{ provide: token, useFactory: () => base }]);
  }

  static forRootAsync(options: RedisModuleAsyncOptions): DynamicModule {
    const { name, httpErrors, ...factory } = options;
    const token = Symbol('RedisModule options');
    return {
      ...describe(name, httpErrors, token, asyncOptionsProviders(token, factory, 'RedisModule.forRootAsync')),
      imports: [RedisConnectionsModule, ...(factory.imports ?? [])],
    };
  }
}

function describe(
  name: string = defaultConnectionName,
  httpErrors = true,
  optionsToken: InjectionToken,
  optionsProviders: Provider[],
): DynamicModule {
  checkText(name, 'RedisModule name');
  const connection = getRedisConnectionToken(name);
  const exported: Provider[] = [
    {
      provide: connection,
      useFactory: (connections: RedisConnections, options: RedisOptionsBase) => open(connections, options, name),
      inject: [RedisConnections, optionsToken],
    },
    { provide: getRedisToken(name), useFactory: ({ client }: RedisConnection) => client, inject: [connection] },
    { provide: getRedisPoolToken(name), useFactory: ({ pool }: RedisConnection) => pool, inject: [connection] },
  ];
  return {
    module: RedisModule,
    imports: [RedisConnectionsModule],
    providers: [
      ...optionsProviders,
      ...exported,
      ...(httpErrors ? [{ provide: APP_FILTER, useClass: RedstartExceptionFilter }] : []),
    ],
    exports: [RedisConnectionsModule, connection, getRedisToken(name), getRedisPoolToken(name)],
  };
}

async function open(connections: RedisConnections, options: RedisOptionsBase, name: string): Promise<RedisConnection> {
  const connection = new RedisConnection(resolveRedisOptions(options, name));
  try {
    connections.add(connection);
    await connection.connect();
  } catch (error) {
    await connection.close();
    await connections.closeAll();
    throw error;
  }
  return connection;
}
