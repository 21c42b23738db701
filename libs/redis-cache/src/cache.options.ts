import {
  checkInteger,
  checkKnownKeys,
  checkNumber,
  durationMs,
  OptionsError,
  type Duration,
  type FeatureModuleIdentity,
} from '@redstart/redis-core';

/** Options of `RedisCacheModule.forRoot`. */
export interface CacheOptions {
  /** How long a value lives when the call does not say. Every value has an end. @default '5m' */
  ttl?: Duration;
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
   * For how long a load may go on without a sign of life before its result is not stored any more. Renewed while the loader runs, so
   * this bounds a stalled event loop, not a slow loader. @default '10s'
   */
  lease?: Duration;
}

/** `connection` and `name` stand beside the options. */
export type CacheModuleOptions = CacheOptions & FeatureModuleIdentity;

/** What a single call may set. */
export interface StoreOptions {
  /** How long this value lives. @default the module's `ttl` */
  ttl?: Duration;
}

/** Options of `getOrSet`. */
export interface GetOrSetOptions<T> extends StoreOptions {
  /** Says of a loaded value that it is not to be stored; the callers get it all the same. */
  unless?: (value: T) => boolean;
}

/** Complete, checked, frozen. Durations are milliseconds. */
export interface ResolvedCacheOptions {
  readonly ttlMs: number;
  readonly jitter: number;
  readonly maxValueBytes: number;
  /** From how many bytes on values are packed; `Infinity` for never. */
  readonly packFromBytes: number;
  readonly budgetMs: number;
  readonly leaseMs: number;
  /** How often a lease is renewed: two renewals may fail before it lapses. */
  readonly renewEveryMs: number;
}

const defaults = {
  ttl: '5m',
  jitter: 0.1,
  maxValueBytes: 512 * 1024,
  compression: true,
  budget: '250ms',
  lease: '10s',
} as const satisfies Required<CacheOptions>;

const defaultThreshold = 1024;
const largestValue = 512 * 1024 * 1024;
const minute = 60_000;

/** The one place where raw options become {@link ResolvedCacheOptions}. @throws OptionsError */
export function resolveCacheOptions(raw: CacheOptions, name = 'default'): ResolvedCacheOptions {
  const where = name === 'default' ? 'RedisCacheModule' : `RedisCacheModule "${name}"`;
  const option = (key: keyof CacheOptions) => `${where}.${key}`;
  if (name.includes(':')) {
    throw new OptionsError(`${where}.name`, "must not hold ':', which separates the parts of its keys.");
  }
  checkKnownKeys(raw, Object.keys(defaults), where);
  const leaseMs = durationMs(raw.lease ?? defaults.lease, option('lease'), { min: 30, max: 10 * minute });
  return Object.freeze({
    ttlMs: durationMs(raw.ttl ?? defaults.ttl, option('ttl')),
    jitter: checkNumber(raw.jitter ?? defaults.jitter, option('jitter'), 0, 0.9),
    maxValueBytes: checkInteger(raw.maxValueBytes ?? defaults.maxValueBytes, option('maxValueBytes'), 1, largestValue),
    packFromBytes: resolveThreshold(raw.compression ?? defaults.compression, option('compression')),
    budgetMs: durationMs(raw.budget ?? defaults.budget, option('budget'), { max: minute }),
    leaseMs,
    renewEveryMs: Math.floor(leaseMs / 3),
  });
}

/** The lifetime that a call asks for, before the jitter. @throws OptionsError */
export function resolveTtl(ttl: Duration | undefined, { ttlMs }: ResolvedCacheOptions): number {
  return ttl === undefined ? ttlMs : durationMs(ttl, 'ttl');
}

/** A lifetime with the jitter taken off: at most `ttlMs`, at least 1. */
export function withJitter(ttlMs: number, { jitter }: ResolvedCacheOptions): number {
  return Math.max(1, Math.ceil(ttlMs * (1 - jitter * Math.random())));
}

function resolveThreshold(raw: NonNullable<CacheOptions['compression']>, option: string): number {
  if (raw === false) return Infinity;
  if (raw === true) return defaultThreshold;
  checkKnownKeys(raw, ['threshold'], option);
  return checkInteger(raw.threshold ?? defaultThreshold, `${option}.threshold`, 0, largestValue);
}
