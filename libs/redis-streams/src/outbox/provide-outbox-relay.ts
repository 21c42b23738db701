import { Inject, type FactoryProvider, type InjectionToken, type Provider } from '@nestjs/common';
import type { EventShapes, StreamDefinition } from '../definition/define-stream.js';
import type { StreamProducer } from '../producer/stream-producer.js';
import { getStreamToken } from '../streams.tokens.js';
import { resolveOutboxOptions, type OutboxRelayOptions } from './outbox-options.js';
import { OutboxRelay } from './outbox-relay.js';
import type { OutboxStore } from './outbox-store.js';

/** Options that depend on other providers. */
export interface OutboxRelayOptionsFactory {
  readonly inject?: NonNullable<FactoryProvider['inject']>;
  // The arguments are what `inject` names, which the type system of Nest can't follow.
  readonly useFactory: (...dependencies: never[]) => OutboxRelayOptions | Promise<OutboxRelayOptions>;
}

/** The store by its injection token, and the options of the relay or a factory for them. */
export type OutboxRelayProvision<Stream = StreamDefinition> = {
  readonly store: InjectionToken<OutboxStore<Stream>>;
} & (OutboxRelayOptions | OutboxRelayOptionsFactory);

/**
 * Provides the {@link OutboxRelay} of a stream, in the module that provides its store and has the stream by `RedisStreamsModule.forFeature`.
 *
 * @throws OptionsError for wrong options, with the option's name
 * @example
 * @Module({
 *   imports: [RedisStreamsModule.forFeature([orders])],
 *   providers: [OrdersOutbox, ...provideOutboxRelay(orders, { store: OrdersOutbox })],
 * })
 */
export function provideOutboxRelay<Events extends EventShapes>(
  stream: StreamDefinition<Events>,
  provision: OutboxRelayProvision<StreamDefinition<Events>>,
): Provider[] {
  const optionsToken = Symbol.for(`OutboxRelayOptions of "${stream.name}"`);
  return [
    optionsProvider(optionsToken, stream.name, provision),
    {
      provide: getOutboxRelayToken(stream),
      useFactory: (producer: StreamProducer, store: OutboxStore, options: OutboxRelayOptions) =>
        new OutboxRelay(stream.name, producer, store, options),
      inject: [getStreamToken(stream), provision.store, optionsToken],
    },
  ];
}

function optionsProvider(provide: symbol, stream: string, provision: OutboxRelayProvision<never>): Provider {
  if ('useFactory' in provision) {
    return { provide, useFactory: provision.useFactory, inject: [...(provision.inject ?? [])] };
  }
  const { store: _store, ...options } = provision;
  // Here as well, so that a wrong option is reported where it was written.
  resolveOutboxOptions(options, `provideOutboxRelay(${stream})`);
  return { provide, useValue: options };
}

/** The injection token of the {@link OutboxRelay} of a stream. Nest prints it when nothing provides it, so it says what to do. */
export function getOutboxRelayToken(stream: Pick<StreamDefinition, 'name'>): symbol {
  return Symbol.for(`OutboxRelay of "${stream.name}" (provide it by provideOutboxRelay(${stream.name}, { store }))`);
}

/**
 * Injects the relay of a stream, to kick it after a commit.
 *
 * @example  constructor(@InjectOutboxRelay(orders) private readonly relay: OutboxRelay) {}
 */
export const InjectOutboxRelay = (stream: Pick<StreamDefinition, 'name'>): ParameterDecorator & PropertyDecorator =>
  Inject(getOutboxRelayToken(stream));
