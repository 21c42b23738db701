import { formatDuration } from '@redstart/redis-core';
import { StreamsError } from '../streams.errors.js';

/** No reply to a call came in time. Whether a server has handled it, nobody can tell; one that had not begun it will not. */
export class CallTimeoutError extends StreamsError {
  readonly code = 'STREAM_CALL_TIMEOUT';

  constructor(
    readonly pattern: string,
    readonly timeoutMs: number,
  ) {
    super(`No reply to "${pattern}" within ${formatDuration(timeoutMs)}. Is a server of its stream running?`);
  }
}

/** The client was closed while a call waited for its reply. */
export class ClientClosedError extends StreamsError {
  readonly code = 'STREAM_CLIENT_CLOSED';

  constructor(readonly pattern: string) {
    super(`The client was closed before a reply to "${pattern}" came.`);
  }
}
