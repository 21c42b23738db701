import fc from 'fast-check';
import { RedisConnections, type RedisConnection } from '@redstart/redis-core';
import { cluster, describeOn, standalone } from '@redstart/redis-testing';
import { gcra, slidingWindow } from '../src/index.js';
import { CallModel } from './models/call.model.js';
import { GcraModel } from './models/gcra.model.js';
import { anyLimit, kinds, largeLimit, limitsByKind, type LimitUnderTest } from './models/limits.js';
import { SlidingWindowModel } from './models/sliding-window.model.js';
import {
  byScript,
  locally,
  type DrivenEntry,
  type DrivenLimit,
  type DrivenLimiter,
} from './support/driven-limiters.js';
import { someMomentUs } from './support/driven-script.js';
import { startApp, type TestApp } from './test-app.js';

/** `RATELIMIT_RUNS=5000` looks harder. */
const runs = Number(process.env['RATELIMIT_RUNS'] ?? 60);

/** How far the clock moves before a call, in windows of one of the limits and in microseconds. */
const step = fc.oneof(
  { weight: 3, arbitrary: fc.constant([0, 0] as const) },
  { weight: 4, arbitrary: fc.constantFrom([0, 1] as const, [1, -1] as const, [1, 0] as const, [1, 1] as const) },
  { weight: 4, arbitrary: fc.tuple(fc.constant(0), fc.integer({ min: 0, max: 40_000 })) },
  { weight: 2, arbitrary: fc.constantFrom([0, -1] as const, [0, -1_000] as const, [-1, 0] as const) },
  {
    weight: 1,
    arbitrary: fc.constantFrom([-1, -1] as const, [-3, 0] as const, [3, 0] as const, [0, -86_400_500_001] as const),
  },
);

/** A cost, in limits of the limit, and in units. */
const cost = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constant(0), fc.integer({ min: 1, max: 3 })) },
  { weight: 2, arbitrary: fc.constantFrom([0, 0] as const, [1, 0] as const) },
  { weight: 1, arbitrary: fc.constantFrom([1, 1] as const, [0, 2 ** 31] as const) },
);

const moves = fc.array(
  fc.record({
    step,
    cost,
    /** Whose window and limit are meant. */
    of: fc.nat({ max: 2 }),
    take: fc.integer({ min: 0, max: 7 }).map((n) => n > 0),
    times: fc.oneof({ weight: 3, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.integer({ min: 2, max: 6 }) }),
    caller: fc.nat({ max: 40 }),
  }),
  { minLength: 1, maxLength: 30 },
);
type Move = typeof moves extends fc.Arbitrary<(infer T)[]> ? T : never;

const rules = fc.record({
  enforce: fc.integer({ min: 0, max: 3 }).map((n) => n > 0),
  blockUs: fc.oneof(
    { weight: 1, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.constantFrom(1_000, 25_000, 500_000) },
  ),
});

/** The years 2001 and 2096. */
const [earliestUs, latestUs] = [1_000_000_000_000_000n, 4_000_000_000_000_000n];

type LimitAndRules = readonly [LimitUnderTest, { readonly enforce: boolean; readonly blockUs: number }];

function entriesOf(limits: readonly LimitAndRules[], list: readonly Move[]): DrivenEntry[] {
  let atUs = someMomentUs;
  const named = limits.some(([{ limit }]) => limit.kind === 'concurrency');
  return list.map(({ step: [windows, us], cost: [full, units], of, take, times, caller }) => {
    const [meant] = limits[of % limits.length] ?? limits[0] ?? [];
    atUs += BigInt(windows) * BigInt(meant?.limit.windowMs ?? 0) * 1_000n + BigInt(us);
    // Windows of a year lead far away.
    if (atUs < earliestUs || atUs > latestUs) atUs = someMomentUs;
    const wanted = full * (meant?.limit.limit ?? 0) + units;
    return {
      atUs,
      costs: limits.map(() => wanted),
      take,
      // Calls with an id are never merged.
      id: named ? `call ${caller}` : undefined,
      times: named ? 1 : times,
    };
  });
}

function move(step: Move['step'], cost: Move['cost'], take = true): Move {
  return { step, cost, of: 0, take, times: 1, caller: 0 };
}

/** Where a clock that goes back finds the edge of what is still believed. */
const edges: readonly [name: string, of: LimitAndRules, list: readonly Move[]][] = [
  [
    'some buckets further ahead than others',
    [
      {
        limit: slidingWindow({ limit: 2, window: 1, buckets: 1 }),
        newModel: () => new SlidingWindowModel({ limit: 2, windowMs: 1, buckets: 1 }),
      },
      { enforce: true, blockUs: 0 },
    ],
    [move([0, 0], [0, 1]), move([1, 0], [0, 1]), move([-3, 0], [1, 1], false), move([1, 0], [0, 1])],
  ],
  [
    'a block that was the last to be written',
    [
      {
        limit: gcra({ rate: 500, per: 1_001, burst: 499 }),
        newModel: () => new GcraModel({ rate: 500, perMs: 1_001, burst: 499 }),
      },
      { enforce: true, blockUs: 1_000 },
    ],
    [move([0, 0], [1, 0]), move([0, 1_000], [0, 1]), move([-1, 0], [1, 1], false)],
  ],
];

/** How often a case came up, so that a suite that never gets there fails. */
interface Seen {
  allowed: number;
  denied: number;
  blocked: number;
}

async function expectAsModelled(
  limiter: DrivenLimiter,
  limits: readonly LimitAndRules[],
  list: readonly Move[],
  seen: Seen,
): Promise<void> {
  const model = new CallModel(limits.map(([{ newModel, limit }, rule]) => ({ ...rule, limit, model: newModel() })));
  const entries = entriesOf(limits, list);
  const decisions = await limiter(
    limits.map(([{ limit }, rule]): DrivenLimit => ({ ...rule, limit })),
    entries,
  );
  entries.forEach(({ atUs, costs, take, id, times }, index) => {
    const { outcomes = [], deeds } = decisions[index] ?? {};
    expect(outcomes).toHaveLength(times);
    let charged = false;
    for (const { verdicts, atUs: saidUs } of outcomes) {
      const expected = model.decide(
        atUs,
        costs.map((one) => BigInt(one)),
        take,
        id ?? '',
      );
      expect(BigInt(saidUs)).toBe(atUs);
      expect(verdicts.map(({ mark: _, ...said }) => said)).toEqual(expected);
      for (const { allowed, blocked } of expected) seen[allowed ? 'allowed' : blocked ? 'blocked' : 'denied']++;
      charged ||=
        take &&
        costs.some((one) => one > 0) &&
        limits.every(([, rule], i) => !rule.enforce || (expected[i]?.allowed ?? false));
    }
    if (deeds === undefined) return;
    const last = outcomes.at(-1)?.verdicts ?? [];
    const mayBlock = take && limits.some(([, { blockUs }]) => blockUs > 0);
    if (!charged && !mayBlock) expect(deeds.writes).toBe(0);
    deeds.ttls.forEach(({ setMs, leftMs }, i) => {
      if (setMs < 0) return;
      expect(setMs * 1_000).toBeGreaterThanOrEqual(last[i]?.resetUs ?? Infinity);
      // It has one. A millisecond may be over already.
      expect(leftMs).toBeGreaterThanOrEqual(0);
    });
  });
}

/** One suite for whatever decides. */
function describeAlgorithms(limiter: DrivenLimiter): void {
  it.each(kinds)('%s: says to the microsecond what its definition says', async (kind) => {
    const seen: Seen = { allowed: 0, denied: 0, blocked: 0 };
    await fc.assert(
      fc.asyncProperty(fc.tuple(limitsByKind[kind], rules), moves, (limit, list) =>
        expectAsModelled(limiter, [limit], list, seen),
      ),
      { numRuns: runs },
    );
    expect(Math.min(seen.allowed, seen.denied)).toBeGreaterThan(0);
  });

  it.each(edges)('agrees with its definition at an edge: %s', async (_name, limit, list) => {
    await expectAsModelled(limiter, [limit], list, { allowed: 0, denied: 0, blocked: 0 });
  });

  it('stays exact with the largest numbers that it takes', async () => {
    const seen: Seen = { allowed: 0, denied: 0, blocked: 0 };
    await fc.assert(
      fc.asyncProperty(fc.tuple(largeLimit, rules), moves, (limit, list) =>
        expectAsModelled(limiter, [limit], list, seen),
      ),
      { numRuns: runs },
    );
    expect(Math.min(seen.allowed, seen.denied)).toBeGreaterThan(0);
  });

  it('charges all limits of a call or none, of whatever kinds', async () => {
    const seen: Seen = { allowed: 0, denied: 0, blocked: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(anyLimit, rules), { minLength: 2, maxLength: 3 }), moves, (limits, list) =>
        expectAsModelled(limiter, limits, list, seen),
      ),
      { numRuns: 2 * runs },
    );
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(0);
  });
}

describeOn(standalone, cluster)('algorithms by the script', (redis) => {
  let app: TestApp;
  let connection: RedisConnection;

  beforeAll(async () => {
    app = await startApp(redis.connection, {});
    connection = app.get(RedisConnections).get('default');
  });
  afterAll(() => app.close());

  describeAlgorithms(byScript(() => connection));
});

describe('algorithms in this process', () => {
  describeAlgorithms(locally);
});
