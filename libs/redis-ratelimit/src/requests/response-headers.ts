import type { HttpAdapterHost } from '@nestjs/core';
import type { HeaderAccess } from './answer-headers.js';

/** The headers of a response, as Nest's adapter reads and writes them. Without a response, and once it is on its way, there is nothing to read or write. */
export class ResponseHeaders implements HeaderAccess {
  private constructor(
    private readonly response: object | undefined,
    private readonly adapter: HttpAdapterHost['httpAdapter'],
  ) {}

  static of(response: object | undefined, adapter: HttpAdapterHost['httpAdapter']): ResponseHeaders {
    const open = response !== undefined && adapter.isHeadersSent(response) !== true;
    return new ResponseHeaders(open ? response : undefined, adapter);
  }

  get(name: string): unknown {
    return this.response === undefined ? undefined : (this.adapter.getHeader(this.response, name) as unknown);
  }

  setAll(headers: Readonly<Record<string, string>>): void {
    if (this.response === undefined) return;
    for (const [name, value] of Object.entries(headers)) this.adapter.setHeader(this.response, name, value);
  }
}
