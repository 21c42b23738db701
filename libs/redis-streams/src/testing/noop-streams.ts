import type { Provider } from '@nestjs/common';
import type { StreamDefinition } from '../definition/define-stream.js';
import { getStreamToken } from '../streams.tokens.js';
import { NoopProducer } from './noop-producer.js';

/**
 * Producers that send nothing, for unit tests without Redis. Unknown events, wrong options and payloads that don't fit their schema are refused as ever; a message id is a duplicate the second time;
 * what is delayed waits, until it is cancelled, and is never due; there is nothing to read.
 *
 * Classes with `@StreamConsumer` can be built with them as well; nothing is consumed.
 *
 * @example  Test.createTestingModule({ providers: [OrderService, ...provideNoopStreams(orders)] })
 */
export function provideNoopStreams(...streams: readonly StreamDefinition[]): Provider[] {
  return streams.map((stream) => ({ provide: getStreamToken(stream), useValue: new NoopProducer(stream) }));
}
