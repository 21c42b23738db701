/** What a cache has counted since it was created, in this process. */
export interface CacheStats {
  /** Reads that found a value in Redis. */
  readonly hits: number;
  /** Reads that found none, or could not tell. */
  readonly misses: number;
  /** Loaders that were run. Callers that shared another caller's load don't count. */
  readonly loads: number;
  /** Loaders that failed, of those. */
  readonly loadErrors: number;
  /** Values written to Redis. */
  readonly stores: number;
  /** Loaded values that were not stored, because the key was changed or deleted while they were being loaded, or the lease had lapsed. */
  readonly staleLoads: number;
  /** Values that can't be stored: too large, or of a kind that does not come back as it is. */
  readonly unsupported: number;
  /** Damaged or foreign bytes under a key of ours; read as a miss. */
  readonly corrupt: number;
  /** Commands that failed: Redis unreachable, slow, or answering with an error. */
  readonly errors: number;
}

/** The counters behind `stats()`. */
export class StatsCounter {
  readonly #counts: { -readonly [name in keyof CacheStats]: number } = {
    hits: 0,
    misses: 0,
    loads: 0,
    loadErrors: 0,
    stores: 0,
    staleLoads: 0,
    unsupported: 0,
    corrupt: 0,
    errors: 0,
  };

  count(name: keyof CacheStats): void {
    this.#counts[name] += 1;
  }

  snapshot(): CacheStats {
    return { ...this.#counts };
  }
}
