import { Module, type DynamicModule, type Provider } from '@nestjs/common';
import { DiscoveryModule, DiscoveryService, ExternalContextCreator, ModuleRef, ModulesContainer } from '@nestjs/core';
import {
  checkText,
  featureModule,
  RedisConnections,
  type AsyncOptions,
  type FeatureModuleIdentity,
} from '@redstart/redis-core';
import { StreamAdmin } from './admin/stream-admin.js';
import { BootCheck } from './boot-check.js';
import { ConsumerHost } from './consumer/consumer-host.js';
import type { StreamDefinition } from './definition/define-stream.js';
import { MaintenanceHost } from './maintenance/maintenance-host.js';
import { RedisStreams } from './streams.service.js';
import { resolveStreamsOptions, type RedisStreamsOptions } from './streams.options.js';
import { getStreamAdminToken, getStreamsToken, getStreamToken } from './streams.tokens.js';

/**
 * Durable messaging on Redis Streams.
 *
 * `forRoot` once, in the root module; `forFeature` in every module that publishes to a stream or consumes it.
 *
 * @example
 * imports: [
 *   RedisModule.forRoot({ namespace: 'shop', url: 'redis://127.0.0.1:6379' }),
 *   RedisStreamsModule.forRoot({ service: 'billing' }),
 *   RedisStreamsModule.forFeature([orders]),
 * ]
 */
@Module({ imports: [DiscoveryModule] })
export class RedisStreamsModule {
  /** @throws OptionsError for options of the wrong type or range, with the option's name */
  static forRoot(options: RedisStreamsOptions & FeatureModuleIdentity): DynamicModule {
    const { connection: _connection, name: _name, ...raw } = options;
    // Here as well, so that a wrong option is reported where it was written.
    resolveStreamsOptions(raw);
    return modules().forRoot(options);
  }

  static forRootAsync(options: AsyncOptions<RedisStreamsOptions> & FeatureModuleIdentity): DynamicModule {
    return modules().forRootAsync(options);
  }

  /**
   * Registers streams, and provides a producer for each.
   *
   * @param identity.name which `forRoot` they belong to, when there are several
   */
  static forFeature(streams: readonly StreamDefinition[], identity: { name?: string } = {}): DynamicModule {
    const name = checkText(identity.name ?? 'default', 'RedisStreamsModule.forFeature name');
    const providers = streams.map((stream): Provider => ({
      provide: getStreamToken(stream),
      useFactory: (service: RedisStreams) => service.producer(stream),
      inject: [getStreamsToken(name)],
    }));
    return { module: StreamsFeatureModule, providers, exports: streams.map(getStreamToken) };
  }
}

/** What `forFeature` imports: apart from the root module, so that its lifecycle is that of plain providers. */
@Module({})
export class StreamsFeatureModule {}

/** Made at the call: the class that it names is not defined before. */
function modules() {
  return featureModule<RedisStreamsOptions, RedisStreams>({
    module: RedisStreamsModule,
    token: getStreamsToken,
    service: RedisStreams,
    create: (connection, options, name) => new RedisStreams(connection, options, name),
    providers: (name) => [
      {
        provide: Symbol.for(`RedisStreamsModule "${name}": check of the streams' keys`),
        useFactory: (streams: RedisStreams, discovery: DiscoveryService, connections: RedisConnections) =>
          new BootCheck(streams, discovery, connections),
        inject: [getStreamsToken(name), DiscoveryService, RedisConnections],
      },
      {
        provide: Symbol.for(`StreamMaintenance "${name}"`),
        useFactory: (streams: RedisStreams) => new MaintenanceHost(streams),
        inject: [getStreamsToken(name)],
      },
      {
        provide: getStreamAdminToken(name),
        useFactory: (streams: RedisStreams) => new StreamAdmin(streams),
        inject: [getStreamsToken(name)],
      },
      ...(name === 'default' ? [{ provide: StreamAdmin, useExisting: getStreamAdminToken(name) }] : []),
      {
        provide: Symbol.for(`StreamConsumers "${name}"`),
        useFactory: (
          streams: RedisStreams,
          discovery: DiscoveryService,
          moduleRef: ModuleRef,
          contexts: ExternalContextCreator,
          container: ModulesContainer,
        ) => new ConsumerHost(streams, { discovery, moduleRef, contexts, container }),
        inject: [getStreamsToken(name), DiscoveryService, ModuleRef, ExternalContextCreator, ModulesContainer],
      },
    ],
  });
}
