import { RedstartError } from '@redstart/redis-core';

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
