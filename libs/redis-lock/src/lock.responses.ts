import type { ErrorResponse } from '@redstart/redis-core';

/** What a client is told; the name of a lock is ours. */
export const busy = {
  status: 503,
  title: 'Service Unavailable',
  detail: 'Somebody else is at this just now. Try again.',
  retryAfterMs: 1_000,
} as const satisfies ErrorResponse;

/** An outage of ours, which is none of the client's business. */
export const unavailable = {
  status: 503,
  title: 'Service Unavailable',
  detail: 'Something that this needs is not available at the moment. Try again.',
  retryAfterMs: 1_000,
} as const satisfies ErrorResponse;
