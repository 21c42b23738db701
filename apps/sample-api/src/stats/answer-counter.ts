import type { ServerResponse } from 'node:http';
import { Injectable } from '@nestjs/common';

/** Counts the answers to HTTP requests by status. */
@Injectable()
export class AnswerCounter {
  readonly #counts = new Map<number, number>();

  /** A middleware, since guards refuse before any interceptor runs; a function, since Nest makes its own instance of a class of middleware. */
  readonly middleware = (_request: unknown, response: ServerResponse, next: () => void): void => {
    response.once('finish', () => {
      this.#counts.set(response.statusCode, (this.#counts.get(response.statusCode) ?? 0) + 1);
    });
    next();
  };

  snapshot(): Record<string, number> {
    return Object.fromEntries(this.#counts);
  }
}
