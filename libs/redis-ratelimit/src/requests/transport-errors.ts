import { RedstartError } from '@redstart/redis-core';
import type { RequestTransport } from './context.js';

/** What a client is told that speaks no HTTP. */
interface TransportProblem {
  readonly status: 'error';
  readonly message: string;
  readonly code: string;
  /** Whole seconds, at least 1. */
  readonly retryAfter?: number;
  readonly [extension: string]: unknown;
}

/**
 * A call over GraphQL was not let in. An error with `extensions` is all that GraphQL servers ask for, so this works with each of them; `cause` is the error
 * as the other transports have it.
 */
export class RateLimitGraphQLError extends Error {
  readonly extensions: Readonly<Record<string, unknown>>;

  constructor(cause: RedstartError) {
    const { status: _, message, ...extensions } = problemOf(cause);
    super(message, { cause });
    this.name = new.target.name;
    this.extensions = Object.freeze(extensions);
  }
}

/**
 * The error that a transport shows to its clients, for one of ours: over GraphQL with `extensions`, over WebSockets a `WsException` and over microservices an `RpcException`, whose
 * `cause` is ours. Those are loaded where such handlers are, so whoever has none needs none of their packages.
 *
 * Errors of the application and those that a client can do nothing about are returned as they are; so is everything over HTTP.
 */
export async function transportError(error: unknown, transport: RequestTransport): Promise<unknown> {
  if (!(error instanceof RedstartError) || !isTellable(error)) return error;
  switch (transport) {
    case 'http':
      return error;
    case 'graphql':
      return new RateLimitGraphQLError(error);
    case 'ws': {
      const { WsException } = await import('@nestjs/websockets');
      return causedBy(error, new WsException(problemOf(error)));
    }
    case 'rpc': {
      const { RpcException } = await import('@nestjs/microservices');
      return causedBy(error, new RpcException(problemOf(error)));
    }
  }
}

function isTellable({ response: { status } }: RedstartError): boolean {
  return status < 500 || status === 503;
}

function problemOf(error: RedstartError): TransportProblem {
  const { title, detail, retryAfterMs, extensions } = error.response;
  const waits = retryAfterMs !== undefined && Number.isFinite(retryAfterMs);
  return {
    ...extensions,
    status: 'error',
    message: detail ?? title,
    code: error.code,
    ...(waits ? { retryAfter: Math.max(1, Math.ceil(retryAfterMs / 1_000)) } : {}),
  };
}

function causedBy(cause: RedstartError, error: Error): Error {
  error.cause = cause;
  return error;
}
