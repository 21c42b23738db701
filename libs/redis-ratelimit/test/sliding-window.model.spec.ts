import fc from 'fast-check';
import { slidingWindow } from '../src/index.js';
import { slidingWindowAlgorithm } from '../src/scripts/sliding-window.js';

const limits = fc
  .record({
    limit: fc.integer({ min: 1, max: 20 }),
    window: fc.integer({ min: 1, max: 500 }),
    buckets: fc.integer({ min: 1, max: 12 }),
  })
  .map(slidingWindow);

/** Steps that gather around the edges, where a window goes wrong if it does. */
const schedule = fc.array(
  fc.record({
    step: fc.oneof(fc.constantFrom(0, 1, -1), fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 700 })),
    cost: fc.integer({ min: 0, max: 5 }),
  }),
  { minLength: 1, maxLength: 80 },
);

describe('the arithmetic of the sliding window', () => {
  it('never admits more than the limit in any window, whatever the schedule', () => {
    fc.assert(
      fc.property(limits, schedule, (limit, calls) => {
        const counter = slidingWindowAlgorithm.counter(limit);
        const admitted: { at: number; cost: number }[] = [];
        let now = 1_800_000_000_000;
        for (const { step, cost } of calls) {
          now += Math.max(0, step);
          if (cost === 0 || !counter.look(now, cost).allowed) continue;
          counter.take(now, cost);
          admitted.push({ at: now, cost });
        }
        for (const { at } of admitted) {
          const inWindow = admitted.filter((other) => other.at > at - limit.windowMs && other.at <= at);
          expect(inWindow.reduce((sum, { cost }) => sum + cost, 0)).toBeLessThanOrEqual(limit.limit);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('tells the first moment at which the same call is allowed, and the first at which all is free again', () => {
    fc.assert(
      fc.property(limits, schedule, fc.integer({ min: 1, max: 6 }), (limit, calls, wanted) => {
        const counter = slidingWindowAlgorithm.counter(limit);
        let now = 1_800_000_000_000;
        for (const { step, cost } of calls) {
          now += Math.max(0, step);
          if (cost > 0 && counter.look(now, cost).allowed) counter.take(now, cost);
        }
        const { allowed, retryAfterMs, resetAfterMs } = counter.look(now, wanted);
        if (wanted > limit.limit) {
          expect([allowed, retryAfterMs]).toEqual([false, Infinity]);
        } else if (!allowed) {
          expect(counter.look(now + retryAfterMs - 1, wanted).allowed).toBe(false);
          expect(counter.look(now + retryAfterMs, wanted).allowed).toBe(true);
        }
        expect(counter.look(now + resetAfterMs, 0).remaining).toBe(limit.limit);
        if (resetAfterMs > 0) expect(counter.look(now + resetAfterMs - 1, 0).remaining).toBeLessThan(limit.limit);
      }),
      { numRuns: 500 },
    );
  });

  it('gives a charge back at most one bucket late', () => {
    const limit = slidingWindow({ limit: 1, window: '10s' });
    const counter = slidingWindowAlgorithm.counter(limit);
    counter.take(20_000, 1);
    expect(counter.look(20_000, 1)).toEqual({
      allowed: false,
      remaining: 0,
      retryAfterMs: 11_000,
      resetAfterMs: 11_000,
      mark: 20,
    });
  });

  it('stands still while the clock is behind what it has counted', () => {
    const counter = slidingWindowAlgorithm.counter(slidingWindow({ limit: 2, window: '10s' }));
    counter.take(100_000, 2);
    const behind = counter.look(40_000, 1);
    expect(behind.allowed).toBe(false);
    expect(behind.retryAfterMs).toBe(11_000);
  });
});
