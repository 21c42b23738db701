import { channel, subscribe, unsubscribe } from 'node:diagnostics_channel';
import { systemClock, Warnings } from '@redstart/redis-core';

/** What has happened. Each is one step of the counter of `stats()` that says the same. */
export type CacheHappening =
  | 'hit'
  | 'near-hit'
  | 'miss'
  | 'stale-hit'
  | 'stale-on-error'
  | 'refresh'
  | 'mismatch'
  | 'load'
  | 'loaded'
  | 'load-failed'
  | 'store'
  | 'stale-load'
  | 'unsupported'
  | 'corrupt'
  | 'made-good'
  | 'eviction'
  | 'error';

/** Never a key or a value: only names of bounded number, so that they may serve as labels of metrics. */
export interface CacheEvent {
  /** The name of the RedisCacheModule. */
  readonly cache: string;
  /** The name of the connection. */
  readonly connection: string;
  readonly event: CacheHappening;
  /** How long the loader took, in milliseconds: of `loaded` and `load-failed`. */
  readonly durationMs?: number;
}

/**
 * The channel of `node:diagnostics_channel` on which every {@link CacheEvent} of the process is published. What a subscriber of it throws, Node reports as an uncaught
 * exception: {@link onCacheEvent} is the safer way.
 */
export const cacheChannel = channel('redstart:cache');

/**
 * Hears of what all caches of this process do, until the returned function is called.
 *
 * Called in the middle of a call, so be quick. What the listener throws is logged, at most every 30 s, and harms nothing.
 *
 * @example
 * const stop = onCacheEvent(({ cache, event }) => events.inc({ cache, event }));
 */
export function onCacheEvent(listener: (event: CacheEvent) => unknown): () => void {
  const warnings = new Warnings('RedisCache', systemClock);
  const fail = (error: unknown) => {
    const reason = error instanceof Error ? error.message : 'it threw';
    warnings.warn('listener', `A listener of cache events failed: ${reason}`);
  };
  const hear = (event: unknown) => {
    try {
      const outcome = listener(event as CacheEvent);
      if (outcome instanceof Promise) outcome.catch(fail);
    } catch (error) {
      fail(error);
    }
  };
  subscribe(cacheChannel.name, hear);
  return () => {
    unsubscribe(cacheChannel.name, hear);
  };
}
