import type { Provider } from '@nestjs/common';
import { unknownEvent, type StreamDefinition } from '../definition/define-stream.js';
import { validatePayload } from '../message/validate-payload.js';
import type { Publication } from '../scripts/publish.js';
import { getStreamToken } from '../streams.tokens.js';

/**
 * Producers that send nothing, for unit tests without Redis. Unknown events and payloads that don't fit their schema are refused as ever.
 *
 * Classes with `@StreamConsumer` can be built with them as well; nothing is consumed.
 *
 * @example  Test.createTestingModule({ providers: [OrderService, ...provideNoopStreams(orders)] })
 */
export function provideNoopStreams(...streams: readonly StreamDefinition[]): Provider[] {
  return streams.map((stream) => {
    let published = 0;
    const publish = async (type: string, payload: unknown): Promise<Publication> => {
      if (!Object.hasOwn(stream.events, type)) throw unknownEvent(stream, type);
      await validatePayload(stream, type, payload);
      published += 1;
      return { id: `0-${published}`, duplicate: false };
    };
    return { provide: getStreamToken(stream), useValue: { publish } };
  });
}
