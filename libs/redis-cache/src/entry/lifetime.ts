import { durationMs, type Duration } from '@redstart/redis-core';
import type { ResolvedCacheOptions } from '../cache.options.js';
import type { LoadOptions } from '../load/load.options.js';

/** What 32 bits of an entry's header hold: more than a month. */
const longestSliding = 2 ** 32 - 1;

/** The lifetime that a call asks for, before the jitter. @throws OptionsError */
export function resolveTtl(ttl: Duration | undefined, { ttlMs, maxTtlMs }: ResolvedCacheOptions): number {
  return ttl === undefined ? ttlMs : durationMs(ttl, 'ttl', { max: maxTtlMs });
}

/** How long a value may be served after its ttl, for whatever reason. @throws OptionsError */
export function resolveStaleTime(
  { staleWhileRevalidate, staleIfError }: Pick<LoadOptions, 'staleWhileRevalidate' | 'staleIfError'>,
  { revalidateMs, staleIfErrorMs, maxTtlMs }: ResolvedCacheOptions,
): number {
  const limits = { min: 0, max: maxTtlMs };
  return Math.max(
    staleWhileRevalidate === undefined
      ? revalidateMs
      : durationMs(staleWhileRevalidate, 'staleWhileRevalidate', limits),
    staleIfError === undefined ? staleIfErrorMs : durationMs(staleIfError, 'staleIfError', limits),
  );
}

/** How long an entry lives, and how long it is fresh. */
export interface Lifetime {
  /** When Redis drops it, from now. */
  readonly livesMs: number;
  /** How long it is fresh, from now. */
  readonly freshMs: number;
  /** When it ends at the latest, from now: as `livesMs` unless its ttl slides. */
  readonly endsMs: number;
  readonly slidingMs: number;
}

/** A ttl with the jitter taken off, and the time for which the entry may be served when it is stale. */
export function lifetimeOf(
  ttlMs: number,
  staleMs: number,
  sliding: boolean,
  options: Pick<ResolvedCacheOptions, 'jitter' | 'maxTtlMs'>,
): Lifetime {
  const freshMs = withJitter(ttlMs, options);
  return sliding
    ? {
        livesMs: freshMs,
        freshMs: options.maxTtlMs,
        endsMs: options.maxTtlMs,
        slidingMs: Math.min(freshMs, longestSliding),
      }
    : { livesMs: freshMs + staleMs, freshMs, endsMs: freshMs + staleMs, slidingMs: 0 };
}

/** At most `ttlMs`, at least 1. */
function withJitter(ttlMs: number, { jitter }: Pick<ResolvedCacheOptions, 'jitter'>): number {
  return Math.max(1, Math.ceil(ttlMs * (1 - jitter * Math.random())));
}
