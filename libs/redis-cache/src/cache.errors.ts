import { RedstartError, type ErrorResponse } from '@redstart/redis-core';

/**
 * A loader asked the cache for a value that is being loaded by itself, directly or by way of other loaders: it would wait for itself for ever.
 * Thrown by `getOrSet` and `@Cacheable`, to the inner call.
 */
export class CacheCycleError extends RedstartError {
  readonly code = 'CACHE_CYCLE';

  constructor(
    /** The Redis key of the value. */
    readonly key: string,
  ) {
    super(
      `The loader of "${key}" asks the cache for "${key}" again, so it would wait for itself. ` +
        'Give the inner call another key, or let it call the source directly.',
    );
  }
}

/** A loader took longer than `hardTimeout`, and there was no stale value to serve. It goes on, and what it brings is stored. Thrown by `getOrSet` and `@Cacheable`. */
export class CacheLoadTimeoutError extends RedstartError {
  readonly code = 'CACHE_LOAD_TIMEOUT';

  constructor(
    /** The Redis key of the value. */
    readonly key: string,
    readonly waitedMs: number,
  ) {
    super(
      `"${key}" was not loaded within ${waitedMs} ms (hardTimeout). Its loader goes on, and what it brings is stored. ` +
        'Raise hardTimeout, or let staleIfError serve an older value meanwhile.',
    );
  }

  override get response(): ErrorResponse {
    return { status: 503, title: 'Service Unavailable', retryAfterMs: 1_000 };
  }
}

/** Another process has failed to load a value a moment ago, and `errorTtl` says that this is the answer for now. Thrown by `getOrSet` and `@Cacheable`. */
export class CacheLoadFailedError extends RedstartError {
  readonly code = 'CACHE_LOAD_FAILED';

  constructor(
    /** The Redis key of the value. */
    readonly key: string,
    readonly retryAfterMs: number,
  ) {
    super(
      `"${key}" could not be loaded by another process a moment ago; tried again in ${retryAfterMs} ms (errorTtl).`,
    );
  }

  override get response(): ErrorResponse {
    return { status: 503, title: 'Service Unavailable', retryAfterMs: this.retryAfterMs };
  }
}

/**
 * A method that changes the cache `after: 'commit'` was called where no transaction is known: it has not run, since its change could have come before the commit, and the old
 * value back after it. Thrown by `@CacheEvict` and `@CachePut`.
 */
export class CacheTransactionError extends RedstartError {
  readonly code = 'CACHE_TRANSACTION';

  constructor(
    /** The method, as `FlightService.cancel`. */
    readonly method: string,
    decorator: string,
  ) {
    super(
      `${method} has ${decorator} with after: 'commit', but was called outside of commitScope(). Wrap its transaction: commitScope(() => database.transaction(...)), ` +
        "or say after: 'success' where the method commits by itself.",
    );
  }
}
