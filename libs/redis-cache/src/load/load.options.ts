import { checkKnownKeys, checkNumber, durationMs, type Duration } from '@redstart/redis-core';

/** When a fresh value is loaded anew before its ttl is over, in the background: see {@link LoadOptions.refreshAhead}. */
export type RefreshAhead = false | number | 'xfetch' | { readonly beta: number };

/** How values are loaded, and how long they are good for: defaults of the module, and options of a call. */
export interface LoadOptions {
  /** How long a value lives when the call does not say. Every value has an end. @default '5m' */
  ttl?: Duration;
  /** The same of a loaded `null` or `undefined`, at most the ttl; `false` does not store them. @default '30s' */
  nullTtl?: Duration | false;
  /** For how long after its ttl a value is still served at once, while one call loads it anew in the background. @default 0 */
  staleWhileRevalidate?: Duration;
  /** For how long after its ttl a value is still served when its loader fails, or takes longer than its timeouts allow. @default 0 */
  staleIfError?: Duration;
  /**
   * Loads a value anew before its ttl is over, in the background, so that nobody waits for it: after that share of its ttl, or with `'xfetch'` at random, the more
   * likely the longer it takes to load (`{ beta }` above 1: earlier).
   *
   * @default false
   * @see     XFetch: Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede Prevention, VLDB 2015
   */
  refreshAhead?: RefreshAhead;
  /** Where a stale value may be served, for how long no loader is run after one has failed. @default '1s' */
  errorBackoff?: Duration;
  /** Where none may: for how long the error itself is the answer, in all processes. @default 0 (errors are not remembered) */
  errorTtl?: Duration;
  /** After so long a loader is not waited for any more where a stale value may be served (`staleIfError`). It goes on, and its value is stored. @default never */
  softTimeout?: Duration;
  /** After so long a loader is not waited for any more at all: a stale value, or CacheLoadTimeoutError. It goes on, and its value is stored. @default never */
  hardTimeout?: Duration;
  /** How long a call waits for a load that another call or process has begun, before it loads by itself. @default '30s' */
  waitTimeout?: Duration;
}

/** When to load a fresh value anew. */
export type EarlyRefresh =
  | { readonly kind: 'never' }
  | { readonly kind: 'share'; readonly share: number }
  | { readonly kind: 'xfetch'; readonly beta: number };

/** {@link LoadOptions}, complete and checked. Durations are milliseconds, `Infinity` for never. */
export interface ResolvedLoadOptions {
  readonly ttlMs: number;
  /** `undefined`: they are not stored. */
  readonly nullTtlMs: number | undefined;
  readonly revalidateMs: number;
  readonly staleIfErrorMs: number;
  readonly early: EarlyRefresh;
  readonly errorBackoffMs: number;
  readonly errorTtlMs: number;
  readonly softMs: number;
  readonly hardMs: number;
  readonly waitMs: number;
}

export const loadDefaults = {
  ttl: '5m',
  nullTtl: '30s',
  staleWhileRevalidate: 0,
  staleIfError: 0,
  refreshAhead: false,
  errorBackoff: '1s',
  errorTtl: 0,
  softTimeout: undefined,
  hardTimeout: undefined,
  waitTimeout: '30s',
} as const satisfies { [name in keyof Required<LoadOptions>]: LoadOptions[name] | undefined };

/** What a call says of its load, on top of the module's. @throws OptionsError */
export function resolveLoadOptions(
  raw: LoadOptions,
  module: ResolvedLoadOptions & { readonly maxTtlMs: number },
): ResolvedLoadOptions {
  const { maxTtlMs: max } = module;
  const { ttl, nullTtl, staleWhileRevalidate, staleIfError, refreshAhead, errorBackoff, errorTtl } = raw;
  const { softTimeout, hardTimeout, waitTimeout } = raw;
  const span = (given: Duration, option: keyof LoadOptions) => durationMs(given, option, { min: 0, max });
  // Most calls say one or two of them, and the module's have been checked.
  return {
    ttlMs: ttl === undefined ? module.ttlMs : durationMs(ttl, 'ttl', { max }),
    nullTtlMs:
      nullTtl === undefined ? module.nullTtlMs : nullTtl === false ? undefined : durationMs(nullTtl, 'nullTtl'),
    revalidateMs:
      staleWhileRevalidate === undefined ? module.revalidateMs : span(staleWhileRevalidate, 'staleWhileRevalidate'),
    staleIfErrorMs: staleIfError === undefined ? module.staleIfErrorMs : span(staleIfError, 'staleIfError'),
    early: refreshAhead === undefined ? module.early : resolveEarly(refreshAhead, 'refreshAhead'),
    errorBackoffMs: errorBackoff === undefined ? module.errorBackoffMs : span(errorBackoff, 'errorBackoff'),
    errorTtlMs: errorTtl === undefined ? module.errorTtlMs : span(errorTtl, 'errorTtl'),
    softMs: softTimeout === undefined ? module.softMs : durationMs(softTimeout, 'softTimeout'),
    hardMs: hardTimeout === undefined ? module.hardMs : durationMs(hardTimeout, 'hardTimeout'),
    waitMs: waitTimeout === undefined ? module.waitMs : durationMs(waitTimeout, 'waitTimeout'),
  };
}

/** @throws OptionsError */
export function resolveLoad(
  raw: LoadOptions,
  maxTtlMs: number,
  option: (key: keyof LoadOptions) => string,
): ResolvedLoadOptions {
  const span = (key: 'staleWhileRevalidate' | 'staleIfError' | 'errorBackoff' | 'errorTtl') =>
    durationMs(raw[key] ?? loadDefaults[key], option(key), { min: 0, max: maxTtlMs });
  const timeout = (key: 'softTimeout' | 'hardTimeout') => {
    const given = raw[key] ?? Infinity;
    return given === Infinity ? Infinity : durationMs(given, option(key));
  };
  const nullTtl = raw.nullTtl ?? loadDefaults.nullTtl;
  return {
    ttlMs: durationMs(raw.ttl ?? loadDefaults.ttl, option('ttl'), { max: maxTtlMs }),
    nullTtlMs: nullTtl === false ? undefined : durationMs(nullTtl, option('nullTtl')),
    revalidateMs: span('staleWhileRevalidate'),
    staleIfErrorMs: span('staleIfError'),
    early: resolveEarly(raw.refreshAhead ?? loadDefaults.refreshAhead, option('refreshAhead')),
    errorBackoffMs: span('errorBackoff'),
    errorTtlMs: span('errorTtl'),
    softMs: timeout('softTimeout'),
    hardMs: timeout('hardTimeout'),
    waitMs: durationMs(raw.waitTimeout ?? loadDefaults.waitTimeout, option('waitTimeout')),
  };
}

function resolveEarly(raw: RefreshAhead, option: string): EarlyRefresh {
  if (raw === false) return { kind: 'never' };
  if (raw === 'xfetch') return { kind: 'xfetch', beta: 1 };
  if (typeof raw === 'number') return { kind: 'share', share: checkNumber(raw, option, 0.01, 0.99) };
  checkKnownKeys(raw, ['beta'], option);
  return { kind: 'xfetch', beta: checkNumber(raw.beta, `${option}.beta`, 0.01, 100) };
}
