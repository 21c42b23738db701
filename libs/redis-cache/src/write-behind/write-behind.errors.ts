import { RedstartError, type ErrorResponse } from '@redstart/redis-core';

/** As many writes are pending as may be: the store does not keep up, or is down. Nothing was written. Thrown by `WriteBehind.write`. */
export class WriteBehindFullError extends RedstartError {
  readonly code = 'WRITE_BEHIND_FULL';

  constructor(
    /** The name of the defined cache. */
    readonly cache: string,
    readonly pending: number,
    readonly maxPending: number,
  ) {
    super(
      `About ${pending} writes of the cache "${cache}" are pending, of ${maxPending} at most (maxPending): its store is down or does not keep up. ` +
        'Nothing was written. Try again later, or raise maxPending.',
    );
  }

  override get response(): ErrorResponse {
    return { status: 503, title: 'Service Unavailable', retryAfterMs: 5_000 };
  }
}
