import type { ErrorResponse, RedstartError } from '../redis.errors.js';

/** The body of an error answer: RFC 9457, with our `code` and further members. */
export interface ProblemDetails {
  readonly [member: string]: unknown;
  readonly type: string;
  readonly title: string;
  readonly status: number;
  /** What the client can do. Missing when there is nothing to say beyond the title. */
  readonly detail?: string;
  /** The stable code of the error, e.g. `LOCK_TIMEOUT`. Missing when the client can do nothing about it. */
  readonly code?: string;
  /** The path that was asked for. */
  readonly instance: string;
}

/**
 * The problem body for an error.
 *
 * @param instance the path of the request, without its query, which may hold secrets
 */
export function problemOf(error: RedstartError, instance: string): ProblemDetails {
  const { type = 'about:blank', title, status, detail, extensions } = error.response;
  const standard = { type, title, status };
  if (!isTellable(error.response)) return { ...standard, instance };
  const told = { ...standard, ...(detail === undefined ? {} : { detail }), code: error.code, instance };
  return { ...extensions, ...told };
}

/** Whether a client may hear what happened: it can change its request, or come back later. The rest is ours to repair. */
export function isTellable({ status }: ErrorResponse): boolean {
  return status < 500 || status === 503;
}

/** `Retry-After` in whole seconds, at least 1, or `undefined` when there is no moment to name. */
export function retryAfterSeconds({ retryAfterMs }: ErrorResponse): number | undefined {
  if (retryAfterMs === undefined || !Number.isFinite(retryAfterMs)) return undefined;
  return Math.max(1, Math.ceil(retryAfterMs / 1_000));
}
