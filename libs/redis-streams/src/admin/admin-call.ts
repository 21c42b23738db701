import type { RedisCall } from '@redstart/redis-core';

/** People and health checks wait for it, no request does: long enough for a busy server, and an end all the same. */
const budgetMs = 5_000;

/** How a command of the administration is described. */
export function adminCall(operation: string): RedisCall {
  return { library: 'redis-streams', operation: `streams.${operation}`, budgetMs };
}
