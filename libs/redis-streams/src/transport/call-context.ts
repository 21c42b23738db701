import type { StreamContext } from '../consumer/stream-context.js';

/** The context of a call, whose signal aborts as well when nobody waits for its reply any more. */
export function callContext(message: StreamContext, over: AbortSignal): StreamContext {
  const { id, messageId, stream, group, type, key, attempt, deliveries, headers, publishedAt, hashTag } = message;
  const { retry, deadLetter, commit, signal } = message;
  return {
    ...{ id, messageId, stream, group, type, key, attempt, deliveries, headers, publishedAt, hashTag },
    ...{ retry, deadLetter, commit, signal: AbortSignal.any([signal, over]) },
  };
}
