import { cacheChannel, type CacheHappening } from './cache.events.js';

/** What a cache has counted since it was created, in this process. In brackets: what Caffeine calls it. */
export interface CacheStats {
  /** Reads that found a value, in whichever tier (hitCount). */
  readonly hits: number;
  /** Those of them that found it in the near tier, without a round trip. */
  readonly nearHits: number;
  /** Reads that found none, or could not tell (missCount). */
  readonly misses: number;
  /** Reads that found a value that is stale, and served it all the same (`staleWhileRevalidate`). They count as hits, too. */
  readonly staleHits: number;
  /** Calls that got a stale value because the loader failed or took too long (`staleIfError`, `softTimeout`, `hardTimeout`). */
  readonly staleOnError: number;
  /** Loads in the background, of values that were stale or soon to be. */
  readonly refreshes: number;
  /** Values that their schema refused; read as a miss. */
  readonly mismatches: number;
  /** Loaders that were run. Callers that shared another caller's load don't count (loadCount, and those that are running). */
  readonly loads: number;
  /** Of those, the ones that have brought a value (loadSuccessCount). */
  readonly loadSuccesses: number;
  /** Of those, the ones that failed (loadFailureCount). */
  readonly loadErrors: number;
  /** How long the loaders that have ended took in all, in milliseconds (totalLoadTime). */
  readonly loadTimeMs: number;
  /** Values that left the near tier because it was full (evictionCount). What Redis evicts, only Redis counts. */
  readonly evictions: number;
  /** Values written to Redis. */
  readonly stores: number;
  /** Loaded values that were not stored, because the key was changed or deleted while they were being loaded, or the lease had lapsed. */
  readonly staleLoads: number;
  /** Values that can't be stored: too large, or of a kind that does not come back as it is. */
  readonly unsupported: number;
  /** Damaged or foreign bytes under a key of ours; read as a miss. */
  readonly corrupt: number;
  /** Invalidations that failed during an outage, and that Redis was told of afterwards. */
  readonly madeGood: number;
  /** Commands that failed: Redis unreachable, slow, or answering with an error. */
  readonly errors: number;
  /** Hits by reads; 1 before the first one (hitRate). */
  readonly hitRate: number;
  /** How long a loader took on average, in milliseconds; 0 before the first one has ended (averageLoadPenalty). */
  readonly averageLoadMs: number;
}

/** The counters that go up by one. */
type Counter = Exclude<keyof CacheStats, 'loadTimeMs' | 'hitRate' | 'averageLoadMs'>;

const happenings: Readonly<Record<Counter, CacheHappening>> = Object.freeze({
  hits: 'hit',
  nearHits: 'near-hit',
  misses: 'miss',
  staleHits: 'stale-hit',
  staleOnError: 'stale-on-error',
  refreshes: 'refresh',
  mismatches: 'mismatch',
  loads: 'load',
  loadSuccesses: 'loaded',
  loadErrors: 'load-failed',
  stores: 'store',
  staleLoads: 'stale-load',
  unsupported: 'unsupported',
  corrupt: 'corrupt',
  madeGood: 'made-good',
  evictions: 'eviction',
  errors: 'error',
});

/** The counters behind `stats()`, which tell of each step. While nobody listens they only count. */
export class StatsCounter {
  readonly #counts: Record<Counter, number> = {
    hits: 0,
    nearHits: 0,
    misses: 0,
    staleHits: 0,
    staleOnError: 0,
    refreshes: 0,
    mismatches: 0,
    loads: 0,
    loadSuccesses: 0,
    loadErrors: 0,
    stores: 0,
    staleLoads: 0,
    unsupported: 0,
    corrupt: 0,
    madeGood: 0,
    evictions: 0,
    errors: 0,
  };
  #loadTimeMs = 0;

  /** @param origin whose they are */
  constructor(private readonly origin: { readonly cache: string; readonly connection: string }) {}

  count(name: Counter): void {
    this.#counts[name] += 1;
    if (cacheChannel.hasSubscribers) this.#publish(name);
  }

  /** A loader has ended. */
  loaded(outcome: 'loadSuccesses' | 'loadErrors', durationMs: number): void {
    this.#counts[outcome] += 1;
    this.#loadTimeMs += durationMs;
    if (cacheChannel.hasSubscribers) this.#publish(outcome, { durationMs });
  }

  snapshot(): CacheStats {
    const { hits, misses, loadSuccesses, loadErrors } = this.#counts;
    const reads = hits + misses;
    const ended = loadSuccesses + loadErrors;
    return {
      ...this.#counts,
      loadTimeMs: this.#loadTimeMs,
      hitRate: reads === 0 ? 1 : hits / reads,
      averageLoadMs: ended === 0 ? 0 : this.#loadTimeMs / ended,
    };
  }

  #publish(name: Counter, more: { readonly durationMs?: number } = {}): void {
    cacheChannel.publish(Object.freeze({ ...this.origin, event: happenings[name], ...more }));
  }
}
