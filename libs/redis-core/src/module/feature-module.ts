import type { DynamicModule, InjectionToken, Provider, Type } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import type { RedisConnection } from '../connection/redis-connection.js';
import { RedisConnections, RedisConnectionsModule } from '../connection/redis-connections.js';
import { checkText } from '../options/check.js';
import { OptionsError } from '../redis.errors.js';
import { defaultConnectionName } from '../redis.options.js';
import { getRedisConnectionToken } from '../redis.tokens.js';
import { asyncOptionsProviders, type AsyncOptions } from './async-options.js';

/** What every feature module takes beside its own options; outside the factory, so that it is known before any factory runs. */
export interface FeatureModuleIdentity {
  /** Which Redis connection to use. @default 'default' */
  connection?: string;
  /** Tells several modules of one kind apart, e.g. two caches. @default 'default' */
  name?: string;
}

/** How a feature library builds its module: the same for all, so that whoever knows one knows all. */
export interface FeatureModuleDefinition<Raw extends object, Service extends object> {
  readonly module: Type;
  /** The service's token for a name. Its description says which module to import, since Nest prints it when nothing provides it. */
  readonly token: (name?: string) => symbol;
  /** The service's class: a second token for the service of the name `default`. */
  readonly service: Type<Service>;
  /**
   * The connections to use, for a service that needs several: independent nodes, for instance. They take the place of `connection`.
   * @default the one that `connection` names
   */
  readonly connections?: readonly string[];
  /** Checks the raw options and builds the service. Called once per module. `connection` is the first of `connections`, which are in the order of their names above. */
  readonly create: (
    connection: RedisConnection,
    options: Raw,
    name: string,
    connections: readonly RedisConnection[],
  ) => Service;
  /** Further providers that need the service, e.g. a guard. They are exported as well. */
  readonly providers?: (name: string) => Provider[];
}

/**
 * Makes `forRoot` and `forRootAsync` of a feature library. Both are global modules that provide and export the service.
 *
 * @throws OptionsError at boot when the connection is unknown (listing the known ones), when RedisModule is missing, or when the same
 *   library is imported twice under one name
 */
export function featureModule<Raw extends object, Service extends object>(
  definition: FeatureModuleDefinition<Raw, Service>,
) {
  return {
    forRoot(options: Raw & FeatureModuleIdentity): DynamicModule {
      const { connection, name, ...raw } = options;
      const optionsToken = Symbol(`${definition.module.name} options`);
      return describe(definition, { connection, name }, optionsToken, [{ provide: optionsToken, useValue: raw }], []);
    },
    forRootAsync(options: AsyncOptions<Raw> & FeatureModuleIdentity): DynamicModule {
      const { connection, name, imports = [], ...factory } = options;
      const optionsToken = Symbol(`${definition.module.name} options`);
      const providers = asyncOptionsProviders(optionsToken, factory, `${definition.module.name}.forRootAsync`);
      return describe(definition, { connection, name }, optionsToken, providers, imports);
    },
  };
}

function describe<Raw extends object, Service extends object>(
  definition: FeatureModuleDefinition<Raw, Service>,
  identity: { connection: string | undefined; name: string | undefined },
  optionsToken: InjectionToken,
  optionsProviders: Provider[],
  imports: NonNullable<DynamicModule['imports']>,
): DynamicModule {
  const where = definition.module.name;
  const name = checkText(identity.name ?? 'default', `${where}.name`);
  const names = definition.connections ?? [
    checkText(identity.connection ?? defaultConnectionName, `${where}.connection`),
  ];
  const token = definition.token(name);
  const further = definition.providers?.(name) ?? [];
  const service: Provider[] = [
    {
      provide: token,
      useFactory: (
        connections: RedisConnections,
        modules: ModulesContainer,
        options: Raw,
        ...found: (RedisConnection | undefined)[]
      ) => {
        try {
          refuseTwice(modules, token, where, name);
          const used = names.map((connection, index) => {
            const redis = found[index];
            if (redis === undefined) throw connections.unknown(`${where} "${name}"`, connection);
            return redis;
          });
          const [first] = used;
          if (first === undefined) throw new OptionsError(`${where} "${name}"`, 'needs at least one connection.');
          return definition.create(first, options, name, used);
        } catch (error) {
          // Nest calls no hook of an application whose building failed: what has connected would stay open. Not waited for, since what is
          // still connecting would fail of it before us, and hide the reason.
          void connections.closeAll();
          throw error;
        }
      },
      inject: [
        RedisConnections,
        ModulesContainer,
        optionsToken,
        ...names.map((connection) => ({ token: getRedisConnectionToken(connection), optional: true })),
      ],
    },
    ...(name === 'default' ? [{ provide: definition.service, useExisting: token }] : []),
    ...further,
  ];
  return {
    module: definition.module,
    global: true,
    imports: [RedisConnectionsModule, ...imports],
    providers: [...optionsProviders, ...service],
    exports: service.map(tokenOf),
  };
}

function tokenOf(provider: Provider): InjectionToken {
  return typeof provider === 'function' ? provider : provider.provide;
}

function refuseTwice(modules: ModulesContainer, token: symbol, where: string, name: string): void {
  const providing = [...modules.values()].filter((module) => module.providers.has(token));
  if (providing.length > 1) {
    throw new OptionsError(
      `${where} "${name}"`,
      `is imported ${providing.length} times under the same name. Import it once, in the root module, or give each a name of its own.`,
    );
  }
}
