import { Module, type DynamicModule, type Provider } from '@nestjs/common';
import { checkKnownKeys, OptionsError, Warnings, type RedisConnection } from '@redstart/redis-core';
import {
  defineStream,
  event,
  getStreamAdminToken,
  getStreamsToken,
  getStreamToken,
  RedisStreamsModule,
  type RedisStreams,
  type StreamAdmin,
  type StreamProducer,
} from '@redstart/redis-streams';
import { getCacheConnectionToken, getDefinedCacheToken } from '../cache.tokens.js';
import { sourceProvider, type SourceProvision } from '../definition/bind-caches.js';
import type { CacheDefinition } from '../definition/define-cache.js';
import type { DefinedCache } from '../definition/defined-cache.js';
import { Backlog } from './backlog.js';
import { Flusher, type StreamedWrite } from './flusher.js';
import { PendingStore } from './pending-values.js';
import { consumerOf, writeGroup } from './write-behind.consumer.js';
import { optionNames, resolveWriteBehindOptions, type WriteBehindOptions } from './write-behind.options.js';
import { checkTarget, type WriteBehindTarget } from './write-behind.target.js';
import { getWriteBehindToken } from './write-behind.tokens.js';
import { WriteBehind } from './write-behind.js';

type IdOf<Definition> = Definition extends CacheDefinition<infer Id, infer _> ? Id : never;
type ValueOf<Definition> = Definition extends CacheDefinition<infer _, infer Value> ? Value : never;

/** A defined cache, and what its store is written by. */
export interface WriteBehindBinding<Definition>
  extends WriteBehindOptions, SourceProvision<WriteBehindTarget<IdOf<Definition>, ValueOf<Definition>>> {
  cache: Definition;
}

interface LooseBinding extends WriteBehindOptions, SourceProvision<WriteBehindTarget<unknown, unknown>> {
  readonly cache: CacheDefinition<unknown, unknown>;
}

const provisionNames = ['cache', 'imports', 'inject', 'useFactory', 'useClass', 'useExisting'];

/**
 * Writes defined caches behind: needs `RedisStreamsModule.forRoot`, and `RedisCacheModule.forFeature` of the same definitions.
 *
 * @example
 * imports: [
 *   flightsFeature, // RedisCacheModule.forFeature([{ cache: flights, … }])
 *   WriteBehindModule.forFeature([
 *     {
 *       cache: flights,
 *       imports: [flightsFeature],
 *       inject: [FlightRepository],
 *       useFactory: (repo: FlightRepository) => ({ writeMany: (values) => repo.saveAll(values) }),
 *     },
 *   ]),
 * ]
 */
@Module({})
export class WriteBehindModule {
  /**
   * @param identity.streams which `RedisStreamsModule.forRoot` holds the streams, when there are several: best one whose Redis evicts nothing
   * @throws OptionsError for wrong options. At boot: without `writeMany`, and for a cache that is bound twice, or written through as well
   */
  static forFeature<const Definitions extends readonly unknown[]>(
    bindings: { readonly [index in keyof Definitions]: WriteBehindBinding<Definitions[index]> },
    identity: { streams?: string } = {},
  ): DynamicModule {
    const loose = bindings as readonly unknown[] as readonly LooseBinding[];
    const features = loose.map((binding) => feature(binding, identity.streams ?? 'default'));
    return {
      module: WriteBehindModule,
      imports: features.flatMap(({ imports }) => imports),
      providers: features.flatMap(({ providers }) => providers),
      exports: loose.map(({ cache }) => getWriteBehindToken(cache)),
    };
  }
}

function feature(binding: LooseBinding, streams: string) {
  const { cache } = binding;
  const where = `WriteBehindModule.forFeature "${cache.name}"`;
  checkKnownKeys(binding, [...provisionNames, ...optionNames], where);
  const options = resolveWriteBehindOptions(binding, where);
  const stream = defineStream(streamName(cache), {
    events: { write: event<StreamedWrite<unknown, unknown>>() },
    // One owner at a time writes all of it, so nothing is written in another order than it was read in.
    partitions: 1,
    retention: { maxLen: 1_000 },
  });
  const target = Symbol(`the target of ${where}`);
  const pending = Symbol(`what is pending of ${where}`);
  const Consumer = consumerOf(stream, stream.event('write'), options);
  const warnings = ({ clock }: RedisConnection) => new Warnings('RedisWriteBehind', clock);
  const providers: Provider[] = [
    sourceProvider(target, binding, where),
    {
      provide: pending,
      useFactory: (connection: RedisConnection, { keys }: DefinedCache<unknown, unknown>) =>
        new PendingStore(connection, cache, keys, options.budgetMs),
      inject: [getCacheConnectionToken(cache.cache), getDefinedCacheToken(cache)],
    },
    {
      provide: getWriteBehindToken(cache),
      useFactory: (
        defined: DefinedCache<unknown, unknown>,
        values: PendingStore<unknown, unknown>,
        { clock }: RedisConnection,
        producer: StreamProducer<typeof stream>,
        admin: StreamAdmin,
        { options: streamsOptions, connection }: RedisStreams,
      ) => {
        const ask = () => admin.group(stream, writeGroup, { limit: options.maxPending });
        return new WriteBehind({
          cache: defined,
          pending: values,
          backlog: new Backlog(cache.name, options.maxPending, ask, clock, warnings(connection)),
          append: async (id, value) => (await producer.publish('write', { id, value })).id,
          appendMs: streamsOptions.publishTimeoutMs,
          clock,
          warnings: warnings(connection),
          drainMs: streamsOptions.consumers ? options.drainMs : 0,
        });
      },
      inject: [
        getDefinedCacheToken(cache),
        pending,
        getCacheConnectionToken(cache.cache),
        getStreamToken(stream),
        getStreamAdminToken(streams),
        getStreamsToken(streams),
      ],
    },
    {
      provide: Symbol(`the consumer of ${where}`),
      useFactory: (
        defined: DefinedCache<unknown, unknown>,
        values: PendingStore<unknown, unknown>,
        made: WriteBehindTarget<unknown, unknown>,
        connection: RedisConnection,
      ) => {
        checkTarget(made, where);
        return new Consumer(new Flusher(defined, values, made, warnings(connection)));
      },
      inject: [getDefinedCacheToken(cache), pending, target, getCacheConnectionToken(cache.cache)],
    },
  ];
  return {
    imports: [RedisStreamsModule.forFeature([stream], { name: streams }), ...(binding.imports ?? [])],
    providers,
  };
}

/** @throws OptionsError for a name that no stream may have */
function streamName({ name, cache }: CacheDefinition<unknown, unknown>): string {
  if (name.includes('/')) {
    throw new OptionsError(
      `WriteBehindModule.forFeature "${name}"`,
      'has a "/" in its name, which no stream may have.',
    );
  }
  return cache === 'default' ? `write-behind.${name}` : `write-behind.${cache}.${name}`;
}
