import {
  checkInteger,
  checkKnownKeys,
  checkNumber,
  checkText,
  durationMs,
  OptionsError,
  type Duration,
  type FeatureModuleIdentity,
} from '@redstart/redis-core';
import { checkVersion, type CacheVersion } from './keys.js';
import { loadDefaults, resolveLoad, type LoadOptions, type ResolvedLoadOptions } from './load/load.options.js';
import {
  resolveNearOptions,
  type CoherenceMode,
  type NearOptions,
  type ResolvedNearOptions,
} from './near/near.options.js';

/** Options of `RedisCacheModule.forRoot`. */
export interface CacheOptions extends LoadOptions {
  /** No ttl may be longer; nor may a stale value be served longer. @default '7d' */
  maxTtl?: Duration;
  /**
   * Which share of a ttl may be taken off at random, so that values stored together don't end together. Never adds anything.
   * @default 0.1
   */
  jitter?: number;
  /** Largest value that is stored, in bytes before compression. A larger one is returned, but not kept. @default 524288 (512 KB) */
  maxValueBytes?: number;
  /** Packs values from `threshold` bytes on (1024 unless given); `false` never packs. Reading unpacks in any case. @default true */
  compression?: boolean | { threshold?: number };
  /** How long one call may wait for Redis in all; the loader's own time does not count. @default '250ms' */
  budget?: Duration;
  /**
   * For how long a load may go on without a sign of life before its result is not stored any more, and another process may load. Renewed while the loader runs, so
   * this bounds a stalled event loop, not a slow loader; ten times as long, or for as long as `waitTimeout` or `hardTimeout` says if that is longer. What a loader
   * brings later than that is returned, and not stored. @default '10s'
   */
  lease?: Duration;
  /** Keeps values in the memory of this process as well, while it hears of all changes. `false` for not at all. @default true */
  near?: boolean | NearOptions;
  /**
   * How the near tier hears of changes. `'auto'`: by CLIENT TRACKING; where the server does not have it, the near tier is off, and the log says so once. `'tracking'`: likewise, and
   * the log goes on saying so. `'pubsub'`: by Pub/Sub, where only changes by this library are heard of; all processes have to say it. `'none'`: it hears nothing, and values may be as
   * old as `near.ttl` says.
   *
   * @default 'auto'
   */
  coherence?: CoherenceMode;
  /**
   * Raise it when the values of this cache have another shape, or its keys another meaning: values of other versions are not seen any more, nor are these by code of another
   * version. Tags and `clear` reach those of all versions, `set` and `delete` do not. A positive integer, or a word.
   *
   * @default none
   */
  version?: CacheVersion;
}

/** `connection` and `name` stand beside the options. */
export type CacheModuleOptions = CacheOptions & FeatureModuleIdentity;

/** Complete, checked, frozen. Durations are milliseconds. */
export interface ResolvedCacheOptions extends ResolvedLoadOptions {
  readonly maxTtlMs: number;
  readonly jitter: number;
  readonly maxValueBytes: number;
  /** From how many bytes on values are packed; `Infinity` for never. */
  readonly packFromBytes: number;
  readonly budgetMs: number;
  readonly leaseMs: number;
  /** How often a lease is renewed: two renewals may fail before it lapses. */
  readonly renewEveryMs: number;
  /** How long a version lives after a process has looked after it: longer than any entry that was stored meanwhile. */
  readonly versionTtlMs: number;
  readonly keepVersionEveryMs: number;
  readonly near: ResolvedNearOptions;
  readonly version: string | undefined;
}

const defaults = {
  ...loadDefaults,
  maxTtl: '7d',
  jitter: 0.1,
  maxValueBytes: 512 * 1024,
  compression: true,
  budget: '250ms',
  lease: '10s',
  near: true,
  coherence: 'auto',
  version: undefined,
} as const satisfies { [name in keyof Required<CacheOptions>]: CacheOptions[name] | undefined };

const defaultThreshold = 1024;
const largestValue = 512 * 1024 * 1024;
const minute = 60_000;

/** The one place where raw options become {@link ResolvedCacheOptions}. @throws OptionsError */
export function resolveCacheOptions(raw: CacheOptions, name = 'default'): ResolvedCacheOptions {
  checkText(name, 'RedisCacheModule.name');
  const where = name === 'default' ? 'RedisCacheModule' : `RedisCacheModule "${name}"`;
  const option = (key: keyof CacheOptions) => `${where}.${key}`;
  if (name.includes(':')) {
    throw new OptionsError(`${where}.name`, "must not hold ':', which separates the parts of its keys.");
  }
  checkKnownKeys(raw, Object.keys(defaults), where);
  const leaseMs = durationMs(raw.lease ?? defaults.lease, option('lease'), { min: 30, max: 10 * minute });
  const maxTtlMs = durationMs(raw.maxTtl ?? defaults.maxTtl, option('maxTtl'));
  // A module with a short maxTtl need not say a ttl, too.
  const ttl = raw.ttl ?? Math.min(maxTtlMs, durationMs(defaults.ttl, 'ttl'));
  return Object.freeze({
    ...resolveLoad({ ...raw, ttl }, maxTtlMs, (key) => option(key)),
    maxTtlMs,
    jitter: checkNumber(raw.jitter ?? defaults.jitter, option('jitter'), 0, 0.9),
    maxValueBytes: checkInteger(raw.maxValueBytes ?? defaults.maxValueBytes, option('maxValueBytes'), 1, largestValue),
    packFromBytes: resolveThreshold(raw.compression ?? defaults.compression, option('compression')),
    budgetMs: durationMs(raw.budget ?? defaults.budget, option('budget'), { max: minute }),
    leaseMs,
    renewEveryMs: Math.floor(leaseMs / 3),
    // An entry lives for a ttl and a stale time, and is stored at most half a maxTtl after its versions were looked after.
    versionTtlMs: 3 * maxTtlMs,
    keepVersionEveryMs: maxTtlMs / 2,
    near: resolveNearOptions(raw.near ?? defaults.near, raw.coherence ?? defaults.coherence, option),
    version: raw.version === undefined ? undefined : checkVersion(raw.version, option('version')),
  });
}

function resolveThreshold(raw: NonNullable<CacheOptions['compression']>, option: string): number {
  if (raw === false) return Infinity;
  if (raw === true) return defaultThreshold;
  checkKnownKeys(raw, ['threshold'], option);
  return checkInteger(raw.threshold ?? defaultThreshold, `${option}.threshold`, 0, largestValue);
}
