import type { Algorithm, LimitShape } from './algorithm.js';
import { ConcurrencyCounter } from './concurrency/concurrency.counter.js';
import { concurrencyLua } from './concurrency/concurrency.script.js';
import type { Concurrency } from './concurrency/concurrency.js';
import { FixedWindowCounter } from './fixed-window/fixed-window.counter.js';
import { fixedWindowLua } from './fixed-window/fixed-window.script.js';
import type { FixedWindow } from './fixed-window/fixed-window.js';
import { GcraCounter } from './gcra/gcra.counter.js';
import { gcraLua } from './gcra/gcra.script.js';
import type { Gcra } from './gcra/gcra.js';
import { SlidingLogCounter } from './sliding-log/sliding-log.counter.js';
import { slidingLogLua } from './sliding-log/sliding-log.script.js';
import type { SlidingLog } from './sliding-log/sliding-log.js';
import { SlidingWindowCounter } from './sliding-window/sliding-window.counter.js';
import { slidingWindowLua } from './sliding-window/sliding-window.script.js';
import type { SlidingWindow } from './sliding-window/sliding-window.js';
import { TokenBucketCounter } from './token-bucket/token-bucket.counter.js';
import { tokenBucketLua } from './token-bucket/token-bucket.script.js';
import type { TokenBucket } from './token-bucket/token-bucket.js';

/** One limit, of any kind. */
export type Limit = SlidingWindow | SlidingLog | FixedWindow | TokenBucket | Gcra | Concurrency;

type AlgorithmOf = { readonly [K in Limit['kind']]: Algorithm<Extract<Limit, { kind: K }>> };

/**
 * Every kind of limit and its algorithm. What is left out of a fingerprint may change while a limit is in use, and the new value holds at once for what
 * has been counted already.
 */
const byKind: AlgorithmOf = {
  'sliding-window': {
    id: 'sw',
    lua: slidingWindowLua,
    parameters: ({ limit, bucketUs, buckets }) => [limit, bucketUs, buckets + 1],
    fingerprint: ({ windowMs, buckets }) => `sw-${windowMs}-${buckets}`,
    counter: (limit, before) =>
      new SlidingWindowCounter(limit, before instanceof SlidingWindowCounter ? before : undefined),
  },
  'sliding-log': {
    id: 'sl',
    lua: slidingLogLua,
    parameters: ({ limit, windowUs }) => [limit, windowUs, 0],
    fingerprint: ({ windowMs }) => `sl-${windowMs}`,
    counter: (limit, before) => new SlidingLogCounter(limit, before instanceof SlidingLogCounter ? before : undefined),
  },
  'fixed-window': {
    id: 'fw',
    lua: fixedWindowLua,
    parameters: ({ limit, windowUs, originUs = -1 }) => [limit, windowUs, originUs],
    fingerprint: ({ windowMs, originUs }) => `fw-${windowMs}${originUs === undefined ? '' : '-calendar'}`,
    counter: (limit, before) =>
      new FixedWindowCounter(limit, before instanceof FixedWindowCounter ? before : undefined),
  },
  'token-bucket': {
    id: 'tb',
    lua: tokenBucketLua,
    parameters: ({ capacity, refill, perUs }) => [capacity, refill, perUs],
    fingerprint: ({ perUs }) => `tb-${perUs / 1_000}`,
    counter: (limit, before) =>
      new TokenBucketCounter(limit, before instanceof TokenBucketCounter ? before : undefined),
  },
  gcra: {
    id: 'gcra',
    lua: gcraLua,
    parameters: ({ burst, unit }) => [burst, unit.numerator, unit.denominator],
    fingerprint: ({ perMs }) => `gcra-${perMs}`,
    counter: (limit, before) => new GcraCounter(limit, before instanceof GcraCounter ? before : undefined),
  },
  concurrency: {
    id: 'slots',
    lua: concurrencyLua,
    parameters: ({ limit, leaseMs }) => [limit, leaseMs * 1_000, 0],
    fingerprint: () => 'slots',
    counter: (limit, before) =>
      new ConcurrencyCounter(limit, before instanceof ConcurrencyCounter ? before : undefined),
  },
};

/** The algorithm of a limit. Each one is only ever asked about limits of its own kind, which the compiler can't follow through a union. */
export function algorithmOf(limit: Limit): Algorithm<LimitShape> {
  const algorithms: Readonly<Record<Limit['kind'], Algorithm<never>>> = byKind;
  return algorithms[limit.kind];
}

export function isLimit(value: unknown): value is Limit {
  return typeof value === 'object' && value !== null && 'kind' in value && Object.hasOwn(byKind, String(value.kind));
}
