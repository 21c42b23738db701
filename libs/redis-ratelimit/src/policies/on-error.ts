import { checkOneOf } from '@redstart/redis-core';

/**
 * What a policy does while Redis does not answer.
 *
 * - `local`: this process counts by itself, with the same algorithm and the same limit, in bounded memory
 * - `open`: every call is allowed
 * - `closed`: every call fails with `RedisUnavailableError`, over HTTP 503
 */
export type OnError = 'local' | 'open' | 'closed';

export function checkOnError(value: unknown, where: string): OnError | undefined {
  return value === undefined ? undefined : checkOneOf(value, `${where}.onError`, ['local', 'open', 'closed']);
}
