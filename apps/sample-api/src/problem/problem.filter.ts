import { STATUS_CODES } from 'node:http';
import { types } from 'node:util';
import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException, Logger } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { isDatabaseUnavailable } from '../database/database.errors.js';
import { messageOf, stackOf, withoutPasswords } from '../startup/startup-error.js';
import { PROBLEM_CONTENT_TYPE, type ProblemDescription, ProblemException } from './problem.js';

/** Answers every failure with a problem body. What the client can't act on is logged here and told as a bare 500. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  readonly #logger = new Logger('Http');

  constructor(private readonly adapterHost: HttpAdapterHost) {}

  catch(error: unknown, host: ArgumentsHost): void {
    // Guards, pipes and handlers of other transports have their own way to report failures.
    if (host.getType() !== 'http') throw error;

    const http = host.switchToHttp();
    const response: unknown = http.getResponse();
    const { httpAdapter } = this.adapterHost;
    const problem = describeProblem(error);
    if (problem.status >= 500) this.#report(error, problem.status);
    if (httpAdapter.isHeadersSent(response)) {
      httpAdapter.end(response);
      return;
    }
    const { status, detail, code, extensions } = problem;
    const title = STATUS_CODES[status] ?? 'Error';
    const url = String(httpAdapter.getRequestUrl(http.getRequest()));
    const instance = url.replace(/\?.*$/s, '');
    httpAdapter.setHeader(response, 'Content-Type', PROBLEM_CONTENT_TYPE);
    if (status === 503) httpAdapter.setHeader(response, 'Retry-After', '1');
    httpAdapter.reply(response, { type: 'about:blank', title, status, detail, code, instance, ...extensions }, status);
  }

  #report(error: unknown, status: number): void {
    if (status === 503) this.#logger.warn(withoutPasswords(messageOf(error)));
    else this.#logger.error(stackOf(error));
  }
}

function describeProblem(error: unknown): ProblemDescription {
  if (error instanceof ProblemException) return error.problem;
  if (isDatabaseUnavailable(error)) return byStatus(503, 'The database is not reachable at the moment. Try again.');
  if (error instanceof HttpException) {
    return describeUnreadable(error.cause) ?? byStatus(error.getStatus(), error.message);
  }
  return byStatus(500);
}

/** A message is shown to the client when the client is the one who can act on it. */
function byStatus(status: number, message?: string): ProblemDescription {
  const shown = status < 500 || status === 503 ? message : undefined;
  return { status, detail: shown ?? 'The request could not be handled.' };
}

/** What the router and the body parser refuse, in our own words: theirs leave the client guessing. Nest has wrapped it, so it is a cause here. */
function describeUnreadable(cause: unknown): ProblemDescription | undefined {
  if (!types.isNativeError(cause)) return undefined;
  if (cause.name === 'URIError') {
    return {
      status: 400,
      code: 'MALFORMED_PATH',
      detail: 'The path has a % that is not followed by a character in UTF-8.',
    };
  }
  if ('code' in cause && UNPACKING_FAILED.test(String(cause.code))) {
    return { status: 400, code: 'MALFORMED_ENCODING', detail: 'The body is not encoded as its Content-Encoding says.' };
  }
  return isBodyError(cause) ? describeBodyProblem(cause) : undefined;
}

/** Of zlib: gzip and deflate, Brotli, Zstandard. */
const UNPACKING_FAILED = /^(Z_|ERR__|ERR_BROTLI|ZSTD_)/;

function describeBodyProblem({ type, message, limit, charset, encoding }: BodyError): ProblemDescription | undefined {
  switch (type) {
    case 'entity.parse.failed':
      return { status: 400, code: 'MALFORMED_JSON', detail: `The body is not valid JSON: ${message}` };
    case 'entity.too.large':
      return { status: 413, code: 'BODY_TOO_LARGE', detail: `The body is larger than ${limit} bytes.` };
    case 'charset.unsupported':
      return { status: 415, code: 'UNSUPPORTED_MEDIA_TYPE', detail: `The body must be UTF-8, not ${charset}.` };
    case 'encoding.unsupported':
      return {
        status: 415,
        code: 'UNSUPPORTED_ENCODING',
        detail: `The body must be sent as it is, or with the Content-Encoding gzip, deflate or br, not ${encoding}.`,
      };
    default:
      return undefined;
  }
}

/** An error of the body parser; its type says which further members it has. */
interface BodyError extends Error {
  readonly type: unknown;
  readonly limit?: number;
  readonly charset?: string;
  readonly encoding?: string;
}

const isBodyError = (error: Error): error is BodyError => 'type' in error;
