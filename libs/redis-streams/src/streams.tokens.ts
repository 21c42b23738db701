import { Inject } from '@nestjs/common';
import type { StreamDefinition } from './definition/define-stream.js';

/** The injection token of {@link RedisStreams}. Nest prints it when nothing provides it, so it says what to import. */
export function getStreamsToken(name = 'default'): symbol {
  const option = name === 'default' ? '' : `, name: '${name}'`;
  return Symbol.for(`RedisStreams "${name}" (import RedisStreamsModule.forRoot({ service${option}, … }))`);
}

/** The injection token of the {@link StreamProducer} of a stream. */
export function getStreamToken(stream: Pick<StreamDefinition, 'name'>): symbol {
  return Symbol.for(`StreamProducer of "${stream.name}" (import RedisStreamsModule.forFeature([${stream.name}]))`);
}

/**
 * Injects the producer of a stream: a shorthand for `Inject(getStreamToken(stream))`.
 *
 * @example  constructor(@InjectStream(orders) private readonly orders: StreamProducer<typeof orders>) {}
 */
export const InjectStream = (stream: Pick<StreamDefinition, 'name'>): ParameterDecorator & PropertyDecorator =>
  Inject(getStreamToken(stream));

/** The injection token of the `StreamAdmin` of a `forRoot` with a name; that of the default one can be injected by its class as well. */
export function getStreamAdminToken(name = 'default'): symbol {
  return Symbol.for(`StreamAdmin "${name}" (import RedisStreamsModule.forRoot)`);
}
