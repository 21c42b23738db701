import type { Clock } from '@redstart/redis-core';
import { CacheLoadTimeoutError } from '../cache.errors.js';

/** How long one caller waits for a load that goes on without it. */
export interface Patience {
  readonly key: string;
  /** When it asked. */
  readonly since: number;
  /** Where something else can be served. */
  readonly softMs: number;
  readonly hardMs: number;
  readonly hasFallback: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Settles like `load`, or rejects when its caller is out of patience; the load itself goes on.
 *
 * @throws CacheLoadTimeoutError · the reason of the caller's signal
 */
export function withinPatience<T>(load: Promise<T>, patience: Patience, clock: Clock): Promise<T> {
  const { signal, since, hasFallback } = patience;
  const limitMs = hasFallback ? Math.min(patience.softMs, patience.hardMs) : patience.hardMs;
  if (limitMs === Infinity && signal === undefined) return load;
  return new Promise<T>((resolve, reject) => {
    const cancel = clock.after(since + limitMs - clock.now(), () => {
      reject(new CacheLoadTimeoutError(patience.key, limitMs));
    });
    // Whatever the signal was aborted with is passed on as it is.
    const leave = () => {
      reject(signal?.reason as Error);
    };
    if (signal?.aborted === true) leave();
    signal?.addEventListener('abort', leave, { once: true });
    load.then(resolve, reject).finally(() => {
      cancel();
      signal?.removeEventListener('abort', leave);
    });
  });
}
