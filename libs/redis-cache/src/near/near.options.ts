import {
  checkBoolean,
  checkInteger,
  checkKnownKeys,
  checkOneOf,
  durationMs,
  type Duration,
} from '@redstart/redis-core';
import type { CoherenceMode } from './coherence.js';
import type { ResolvedNearOptions } from './near-cache.js';
import type { Sharing } from './near-tier.js';

export type { CoherenceMode } from './coherence.js';
export type { ResolvedNearOptions } from './near-cache.js';

/** Options of the near tier. */
export interface NearOptions {
  /** @default true */
  enabled?: boolean;
  /** How many values it holds; the ones that were used last stay. @default 10000 */
  maxEntries?: number;
  /** How much memory they may take, by an estimate from above. None gets more than an eighth of it. @default 67108864 (64 MB) */
  maxBytes?: number;
  /** How long a value stays without being read from Redis again, however well the near tier is told of changes. @default '1m' */
  ttl?: Duration;
  /**
   * `'copy'`: each hit is a copy for its caller alone. `'frozen'`: all callers get the same value, deeply frozen, which takes a fraction of the time. One with a
   * `Date`, a `Map`, a `Set` or binary data in it can't be frozen, and is copied all the same.
   *
   * @default 'copy'
   */
  share?: Sharing;
  /**
   * How old a value may be without Redis having said that it still holds: what a connection can hide that is broken without anybody having noticed, or a process
   * that stands still. Redis is asked three times as often. @default '5s'
   */
  maxLag?: Duration;
}

const defaults = {
  enabled: true,
  maxEntries: 10_000,
  maxBytes: 64 * 1024 * 1024,
  ttl: '1m',
  share: 'copy',
  maxLag: '5s',
} as const satisfies Required<NearOptions>;

const mostEntries = 10_000_000;
const mostBytes = 2 ** 40;
const minute = 60_000;

/** @throws OptionsError */
export function resolveNearOptions(
  raw: boolean | NearOptions,
  coherence: CoherenceMode,
  option: (key: 'near' | 'coherence') => string,
): ResolvedNearOptions {
  const given: NearOptions = typeof raw === 'boolean' ? { enabled: raw } : raw;
  const name = (key: keyof NearOptions) => `${option('near')}.${key}`;
  checkKnownKeys(given, Object.keys(defaults), option('near'));
  return Object.freeze({
    enabled: checkBoolean(given.enabled ?? defaults.enabled, name('enabled')),
    maxEntries: checkInteger(given.maxEntries ?? defaults.maxEntries, name('maxEntries'), 1, mostEntries),
    maxBytes: checkInteger(given.maxBytes ?? defaults.maxBytes, name('maxBytes'), 1, mostBytes),
    ttlMs: durationMs(given.ttl ?? defaults.ttl, name('ttl')),
    share: checkOneOf(given.share ?? defaults.share, name('share'), ['copy', 'frozen']),
    maxLagMs: durationMs(given.maxLag ?? defaults.maxLag, name('maxLag'), { min: 100, max: 10 * minute }),
    coherence: checkOneOf(coherence, option('coherence'), ['auto', 'tracking', 'pubsub', 'none']),
  });
}
