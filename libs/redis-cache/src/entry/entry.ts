/** A value that was found, with what is known of it. */
export interface CacheEntry<T> {
  /** May be `null` or `undefined`: a miss is no entry at all. */
  readonly value: T;
  /** Where it was found. */
  readonly tier: 'redis' | 'near';
  /** Its ttl is over, or it has been marked stale: `get` and `getOrSet` take it for a miss, unless stale values are welcome. */
  readonly stale: boolean;
  /** When its load began, or it was set: milliseconds since the epoch, by the clock of Redis. */
  readonly createdAt: number;
  /** When it ends, likewise; later than its ttl when it may be served stale. */
  readonly expiresAt: number;
  /** How old it is, in milliseconds. */
  readonly age: number;
  /** For how many milliseconds more it is fresh; 0 when it is stale. */
  readonly ttl: number;
  /** The tags that it hangs on. */
  readonly tags: readonly string[];
}
