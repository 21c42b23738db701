import { type ArgumentsHost, Catch, type ExceptionFilter, Logger } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { type Observable, throwError } from 'rxjs';
import { RedstartError } from '../redis.errors.js';
import { isTellable, problemOf, retryAfterSeconds } from './problem-details.js';

/** What a client of a microservice or a socket is told: the form that Nest's own filters use, and our code. */
interface ErrorMessage {
  readonly status: 'error';
  readonly message: string;
  readonly code?: string;
}

/**
 * Tells clients of Redstart's own errors, in the way of each transport. `RedisModule` registers it unless `httpErrors` is `false`; the errors of others
 * are left to others.
 *
 * - HTTP: `application/problem+json` (RFC 9457) with the status and headers of {@link RedstartError.response}, and `Retry-After`. An answer that has
 *   begun already can't be changed; it is ended, as Nest does.
 * - Microservices: the Observable that Nest expects, failing with `{ status: 'error', message, code }`, the message being the `detail`.
 * - WebSockets: the `exception` event that Nest would send, `{ status: 'error', message, code, cause }`. It isn't left to Nest, because
 *   an error that a filter throws there ends as an unhandled rejection.
 * - Everything else, such as GraphQL or a stream handler: thrown on.
 *
 * An error that no client can do anything about (500) tells nothing, and is logged with its stack. Of the others a client is told `detail`; the message, which
 * is for developers, is logged at the level `debug`. Causes are never logged: an error of the client library carries the arguments of its command.
 */
@Catch(RedstartError)
export class RedstartExceptionFilter implements ExceptionFilter<RedstartError> {
  readonly #logger = new Logger(RedstartExceptionFilter.name);
  readonly #adapterHost: HttpAdapterHost;

  constructor(adapterHost: HttpAdapterHost) {
    this.#adapterHost = adapterHost;
  }

  catch(error: RedstartError, host: ArgumentsHost): Observable<never> | undefined {
    switch (host.getType<string>()) {
      case 'http':
        this.#answer(error, host);
        return undefined;
      case 'rpc': {
        // An event has no reply, so nobody else would hear of an outage.
        this.#log(error, error.response.status >= 500);
        return throwError(() => errorMessage(error));
      }
      case 'ws':
        this.#emit(error, host);
        return undefined;
      default:
        throw error;
    }
  }

  #answer(error: RedstartError, host: ArgumentsHost): void {
    const { httpAdapter } = this.#adapterHost;
    const response: unknown = host.switchToHttp().getResponse();
    this.#log(error);
    if (httpAdapter.isHeadersSent(response)) {
      httpAdapter.end(response);
      return;
    }
    const url: unknown = httpAdapter.getRequestUrl(host.switchToHttp().getRequest());
    const problem = problemOf(error, pathOf(url));
    const retryAfter = retryAfterSeconds(error.response);
    for (const [name, value] of Object.entries(error.response.headers ?? {}))
      httpAdapter.setHeader(response, name, value);
    if (retryAfter !== undefined) httpAdapter.setHeader(response, 'Retry-After', `${retryAfter}`);
    httpAdapter.setHeader(response, 'Content-Type', 'application/problem+json');
    // As text: Nest 11 takes an object to be application/json, warns of ours, and replaces it.
    httpAdapter.reply(response, JSON.stringify(problem), problem.status);
  }

  #emit(error: RedstartError, host: ArgumentsHost): void {
    const socket = host.switchToWs();
    const client: unknown = socket.getClient();
    const data: unknown = socket.getData();
    this.#log(error);
    if (!isEmitter(client)) return;
    client.emit('exception', { ...errorMessage(error), cause: { pattern: socket.getPattern(), data } });
  }

  #log(error: RedstartError, isOurs = !isTellable(error.response)): void {
    if (isOurs) this.#logger.error(error.message, error.stack);
    else this.#logger.debug(`${error.code}: ${error.message}`);
  }
}

function errorMessage(error: RedstartError): ErrorMessage {
  if (!isTellable(error.response)) return { status: 'error', message: 'Internal server error' };
  const { detail, title } = error.response;
  return { status: 'error', message: detail ?? title, code: error.code };
}

function pathOf(url: unknown): string {
  return typeof url === 'string' ? (url.split(/[?#]/, 1)[0] ?? '') : '';
}

function isEmitter(client: unknown): client is { emit(event: string, payload: unknown): unknown } {
  return typeof client === 'object' && client !== null && 'emit' in client && typeof client.emit === 'function';
}
