import fc from 'fast-check';
import { concurrency, fixedWindow, gcra, slidingLog, slidingWindow, tokenBucket, type Limit } from '../../src/index.js';
import { ConcurrencyModel } from './concurrency.model.js';
import { FixedWindowModel } from './fixed-window.model.js';
import { GcraModel } from './gcra.model.js';
import type { LimitModel } from './limit.model.js';
import { SlidingLogModel } from './sliding-log.model.js';
import { SlidingWindowModel } from './sliding-window.model.js';
import { TokenBucketModel } from './token-bucket.model.js';

/** A limit, and how to make a model of it from what the user wrote. */
export interface LimitUnderTest {
  readonly limit: Limit;
  readonly newModel: () => LimitModel;
}

const few = fc.integer({ min: 1, max: 12 });
const windowMs = fc.integer({ min: 1, max: 60 });

/** Limits of every kind, small enough to be exceeded. */
export const limitsByKind: Readonly<Record<Limit['kind'], fc.Arbitrary<LimitUnderTest>>> = {
  'sliding-window': fc.record({ limit: few, windowMs, buckets: few }).map((o) => ({
    limit: slidingWindow({ limit: o.limit, window: o.windowMs, buckets: o.buckets }),
    newModel: () => new SlidingWindowModel(o),
  })),
  'sliding-log': fc.record({ limit: few, windowMs }).map((o) => ({
    limit: slidingLog({ limit: o.limit, window: o.windowMs }),
    newModel: () => new SlidingLogModel(o),
  })),
  'fixed-window': fc
    .record({ limit: few, windowMs, start: fc.constantFrom('first-call' as const, 'calendar' as const) })
    .map((o) => ({
      limit: fixedWindow({ limit: o.limit, window: o.windowMs, start: o.start }),
      newModel: () => new FixedWindowModel(o),
    })),
  'token-bucket': fc
    .record({ capacity: few, part: few, perMs: fc.integer({ min: 1, max: 30 }) })
    .map(({ capacity, part, perMs }) => ({ capacity, refill: Math.min(part, capacity), perMs }))
    .map((o) => ({
      limit: tokenBucket({ capacity: o.capacity, refill: o.refill, per: o.perMs }),
      newModel: () => new TokenBucketModel(o),
    })),
  gcra: fc
    .record({ rate: fc.integer({ min: 1, max: 1_500 }), perMs: fc.integer({ min: 1, max: 60 }), burst: few })
    .map((o) => ({
      limit: gcra({ rate: o.rate, per: o.perMs, burst: o.burst }),
      newModel: () => new GcraModel(o),
    })),
  concurrency: fc
    .record({ limit: fc.integer({ min: 1, max: 4 }), leaseMs: fc.integer({ min: 100, max: 140 }) })
    .map((o) => ({
      limit: concurrency({ limit: o.limit, lease: o.leaseMs }),
      newModel: () => new ConcurrencyModel(o),
    })),
};

const yearMs = 365 * 86_400_000;
const much = fc.integer({ min: 1, max: 1_000_000_000 });
const longMs = fc.integer({ min: 1_000, max: yearMs });
const largeWindow = fc.record({ limit: much, windowMs: longMs });

/** Limits whose numbers come near to what can be counted exactly. */
export const largeLimit: fc.Arbitrary<LimitUnderTest> = fc.oneof(
  largeWindow.map((o) => ({
    limit: slidingWindow({ limit: o.limit, window: o.windowMs, buckets: 120 }),
    newModel: () => new SlidingWindowModel({ ...o, buckets: 120 }),
  })),
  largeWindow.map((o) => ({
    limit: fixedWindow({ limit: o.limit, window: o.windowMs }),
    newModel: () => new FixedWindowModel({ ...o, start: 'first-call' }),
  })),
  // In up to a hundred portions, which is what the model puts in one by one.
  fc
    .record({
      capacity: much,
      portions: fc.integer({ min: 1, max: 100 }),
      perMs: fc.integer({ min: 1, max: yearMs / 4 }),
    })
    .map(({ capacity, portions, perMs }) => ({ capacity, refill: Math.ceil(capacity / portions), perMs }))
    .map((o) => ({
      limit: tokenBucket({ capacity: o.capacity, refill: o.refill, per: o.perMs }),
      newModel: () => new TokenBucketModel(o),
    })),
  // p * burst just below 2^53, over a year at most or, as far as it may be taken, over centuries.
  fc
    .record({
      rate: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 500, max: 1_000_000_000 })),
      perMs: longMs,
      less: fc.nat({ max: 3 }),
    })
    .map((o) => {
      const { numerator } = gcra({ rate: o.rate, per: o.perMs, burst: 1 }).unit;
      const most = o.rate < 10 ? 1_000_000_000 : o.rate;
      const burst = Math.max(1, Math.min(most, Math.floor(Number.MAX_SAFE_INTEGER / numerator)) - o.less);
      return {
        limit: gcra({ rate: o.rate, per: o.perMs, burst }),
        newModel: () => new GcraModel({ ...o, burst }),
      };
    }),
);

export const kinds = Object.keys(limitsByKind) as Limit['kind'][];

export const anyLimit: fc.Arbitrary<LimitUnderTest> = fc.oneof(...Object.values(limitsByKind));
