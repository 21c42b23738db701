import fc from 'fast-check';
import { RedisConnections, type RedisConnection } from '@redstart/redis-core';
import { describeOn, standalone } from '@redstart/redis-testing';
import type { Limit } from '../src/algorithms/algorithms.js';
import { kinds, limitsByKind } from './models/limits.js';
import { decideAt, newSubject, someMomentUs } from './support/driven-script.js';
import { startApp, type TestApp } from './test-app.js';

const runs = Number(process.env['RATELIMIT_RUNS'] ?? 25);

/** What was admitted, and when. */
interface Admitted {
  readonly atUs: bigint;
  readonly cost: number;
}

/** Callers that take what they can, as fast as they can, with pauses around the length of a window, or until the last denial is over. */
const greed = fc.array(
  fc.record({
    pause: fc.oneof(
      { weight: 3, arbitrary: fc.constant([0, 0] as const) },
      { weight: 2, arbitrary: fc.constantFrom([1, -1] as const, [1, 0] as const, [1, 1] as const) },
      { weight: 2, arbitrary: fc.tuple(fc.constant(0), fc.integer({ min: 0, max: 30_000 })) },
      { weight: 2, arbitrary: fc.constantFrom('due' as const, 'nearly due' as const) },
    ),
    cost: fc.integer({ min: 1, max: 4 }),
  }),
  { minLength: 10, maxLength: 40 },
);

function after(atUs: bigint, { windowMs }: Limit, [windows, us]: readonly [number, number]): bigint {
  return atUs + BigInt(windows) * BigInt(windowMs) * 1_000n + BigInt(us);
}

/** How much was admitted from one moment on, for so long. */
function within(admitted: readonly Admitted[], fromUs: bigint, us: bigint): number {
  return admitted
    .filter(({ atUs }) => atUs >= fromUs && atUs < fromUs + us)
    .reduce((total, { cost }) => total + cost, 0);
}

/** The promise of each kind about what it has admitted, in any stretch of time that begins with an admission: no other can be the fullest. */
const bounds: Readonly<Record<Limit['kind'], (limit: Limit, admitted: readonly Admitted[]) => void>> = {
  'sliding-window': atMostTheLimitInAnyWindow,
  'sliding-log': atMostTheLimitInAnyWindow,
  'fixed-window': (limit, admitted) => {
    if (limit.kind !== 'fixed-window') throw new Error(limit.kind);
    const windowUs = BigInt(limit.windowUs);
    let startUs = -windowUs;
    for (const { atUs } of admitted) {
      if (atUs < startUs + windowUs) continue;
      startUs = limit.originUs === undefined ? atUs : atUs - (atUs % windowUs);
      expect(within(admitted, startUs, windowUs)).toBeLessThanOrEqual(limit.limit);
    }
  },
  'token-bucket': (limit, admitted) => {
    if (limit.kind !== 'token-bucket') throw new Error(limit.kind);
    // A portion may come right at the beginning of the stretch, and one more after every period.
    inAnyStretch(admitted, (us) => limit.capacity + limit.refill * (1 + Number(us / BigInt(limit.perUs))));
  },
  gcra: (limit, admitted) => {
    if (limit.kind !== 'gcra') throw new Error(limit.kind);
    const { numerator, denominator } = limit.unit;
    inAnyStretch(admitted, (us) => limit.burst + Number((us * BigInt(denominator)) / BigInt(numerator)));
  },
  concurrency: (limit, admitted) => {
    for (const { atUs } of admitted) {
      const leaseUs = BigInt(limit.windowMs) * 1_000n;
      expect(within(admitted, atUs, leaseUs)).toBeLessThanOrEqual(limit.limit);
    }
  },
};

function atMostTheLimitInAnyWindow({ limit, windowMs }: Limit, admitted: readonly Admitted[]): void {
  for (const { atUs } of admitted) {
    expect(within(admitted, atUs, BigInt(windowMs) * 1_000n)).toBeLessThanOrEqual(limit);
  }
}

function inAnyStretch(admitted: readonly Admitted[], most: (us: bigint) => number): void {
  for (const [index, { atUs: fromUs }] of admitted.entries()) {
    for (const { atUs: toUs } of admitted.slice(index)) {
      expect(within(admitted, fromUs, toUs - fromUs + 1n)).toBeLessThanOrEqual(most(toUs - fromUs));
    }
  }
}

describeOn(standalone)('what a limit promises', (redis) => {
  let app: TestApp;
  let connection: RedisConnection;

  beforeAll(async () => {
    app = await startApp(redis.connection, {});
    connection = app.get(RedisConnections).get('default');
  });
  afterAll(() => app.close());

  describe.each(kinds)('%s', (kind) => {
    it('admits no more than it promises, in any stretch of time', async () => {
      let denials = 0;
      await fc.assert(
        fc.asyncProperty(limitsByKind[kind], greed, async ({ limit }, calls) => {
          const key = newSubject()();
          let atUs = someMomentUs;
          const admitted: Admitted[] = [];
          let dueUs = atUs;
          for (const [index, { pause, cost: wanted }] of calls.entries()) {
            if (typeof pause !== 'string') atUs = after(atUs, limit, pause);
            else if (dueUs > atUs) atUs = dueUs - (pause === 'due' ? 0n : 1n);
            const cost = kind === 'concurrency' ? 1 : wanted;
            const { outcomes } = await decideAt(connection, atUs, [{ key, limit, cost }], { id: `call ${index}` });
            const { allowed, retryUs } = outcomes[0]?.verdicts[0] ?? { allowed: false, retryUs: Infinity };
            if (allowed) admitted.push({ atUs, cost });
            else denials++;
            if (!allowed && retryUs < Infinity) dueUs = atUs + BigInt(retryUs);
          }
          bounds[kind](limit, admitted);
        }),
        { numRuns: runs },
      );
      expect(denials).toBeGreaterThan(runs);
    });

    it('admits the same call exactly when it has said, and writes nothing until then', async () => {
      const client = redis.client();
      let waits = 0;
      await fc.assert(
        fc.asyncProperty(limitsByKind[kind], greed, async ({ limit }, calls) => {
          const key = newSubject()();
          const ask = async (atUs: bigint, cost: number, take = true) => {
            const { outcomes, writes } = await decideAt(connection, atUs, [{ key, limit, cost }], {
              take,
              id: 'knock',
            });
            const [verdict] = outcomes[0]?.verdicts ?? [];
            return { retryUs: verdict?.retryUs ?? Infinity, writes };
          };
          let atUs = someMomentUs;
          for (const [index, { pause, cost }] of calls.entries()) {
            if (typeof pause !== 'string') atUs = after(atUs, limit, pause);
            const { outcomes } = await decideAt(connection, atUs, [{ key, limit, cost }], { id: `call ${index}` });
            const retryUs = outcomes[0]?.verdicts[0]?.retryUs ?? Infinity;
            if (retryUs === 0 || retryUs === Infinity) continue;
            const before = await client.dumpBuffer(key);
            const [knock, early, due] = await Promise.all([
              ask(atUs, cost),
              ask(atUs + BigInt(retryUs) - 1n, cost),
              ask(atUs + BigInt(retryUs), cost, false),
            ]);
            expect(knock).toEqual({ retryUs, writes: 0 });
            expect(early).toEqual({ retryUs: 1, writes: 0 });
            expect(due).toEqual({ retryUs: 0, writes: 0 });
            expect((await client.dumpBuffer(key)).equals(before)).toBe(true);
            waits++;
            return;
          }
        }),
        { numRuns: runs },
      );
      expect(waits).toBeGreaterThan(0);
    });
  });
});
