import type { RedisCall } from '@redstart/redis-core';

/** What the connection is told of a call. */
export function callOf(operation: string, budgetMs: number): RedisCall {
  return { library: 'redis-ratelimit', operation: `ratelimit.${operation}`, budgetMs };
}
