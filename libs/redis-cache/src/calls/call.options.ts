import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { Key } from '@redstart/redis-core';
import type { LoadContext } from '../load/load-context.js';
import type { LoadOptions } from '../load/load.options.js';

/** What a single `set` may say. */
export interface StoreOptions extends Pick<LoadOptions, 'ttl' | 'staleWhileRevalidate' | 'staleIfError'> {
  /** What the value hangs on: see {@link CacheService.invalidateTags}. At most 100. */
  tags?: readonly Key[];
  /** The ttl begins anew with each read, up to `maxTtl` in all. */
  sliding?: boolean;
}

/** What a single read may say. */
export interface ReadOptions {
  /** The tags that the value has, when the caller knows them: saves a round trip, and an entry without one of them is a miss. */
  tags?: readonly Key[];
  /** Checks what is read; what it refuses is a miss. A hit is what it makes of the stored value. */
  schema?: StandardSchemaV1;
}

/** Options of `getOrSet` and `getOrSetMany`. */
export interface GetOrSetOptions<T> extends LoadOptions, Pick<StoreOptions, 'sliding'> {
  /** What the value hangs on: see {@link CacheService.invalidateTags}. A function gets the loaded value. At most 100. */
  tags?: readonly Key[] | ((value: T) => readonly Key[]);
  /** Says of a loaded value that it is not to be stored; the callers get it all the same. */
  unless?: (value: T) => boolean;
  /** Whether the call goes through the cache at all. @default true */
  condition?: boolean | (() => boolean);
  /** Checks what is read from the cache; what it refuses is a miss. A hit is what it makes of the stored value. */
  schema?: StandardSchemaV1;
  /** Ends the wait of this call. The load goes on for the others, and for the cache. */
  signal?: AbortSignal;
}

/** Options of a load by a part of this library. */
export interface SelectiveLoadOptions<T> extends GetOrSetOptions<T> {
  /** Says of a stale value whether it may be served for want of another; asked before the load. A symbol, so that nobody else can say it. */
  [takesStale]?: (stale: unknown) => boolean;
}

export const takesStale = Symbol('takesStale');

/** What loads a value. A function without a parameter will do. */
export type Loader<T> = (context: LoadContext) => T | Promise<T>;
