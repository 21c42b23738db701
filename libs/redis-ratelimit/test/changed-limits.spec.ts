import { ManualClock, RedisConnections, type RedisConnection } from '@redstart/redis-core';
import { describeOn, standalone } from '@redstart/redis-testing';
import { concurrency, fixedWindow, gcra, slidingLog, slidingWindow, tokenBucket } from '../src/index.js';
import type { Limit } from '../src/algorithms/algorithms.js';
import { LocalLimiter } from '../src/local/local-limiter.js';
import { compilePolicy } from '../src/policies/policy.js';
import { decideAt, newSubject, someMomentUs } from './support/driven-script.js';
import { startApp, type TestApp } from './test-app.js';

const second = 1_000_000;

/** The limit that 8 units are taken of, another one, and what that says right away. */
const changes: readonly [name: string, before: Limit, after: Limit, says: object][] = [
  ...[
    ['slidingWindow', (limit: number) => slidingWindow({ limit, window: '10s', buckets: 10 }), 11 * second],
    ['slidingLog', (limit: number) => slidingLog({ limit, window: '10s' }), 10 * second],
    ['fixedWindow', (limit: number) => fixedWindow({ limit, window: '10s' }), 10 * second],
  ].flatMap(([name, of, retryUs]): [string, Limit, Limit, object][] => {
    if (typeof of !== 'function') throw new Error('no limit');
    return [
      [`${String(name)}, raised`, of(10), of(20), { remaining: 12, retryUs: 0 }],
      [`${String(name)}, lowered`, of(10), of(5), { remaining: 0, retryUs }],
    ];
  }),
  [
    'tokenBucket, larger',
    tokenBucket({ capacity: 10, refill: 2, per: '1s' }),
    tokenBucket({ capacity: 20, refill: 2, per: '1s' }),
    { remaining: 12, retryUs: 0, resetUs: 4 * second },
  ],
  [
    'tokenBucket, smaller',
    tokenBucket({ capacity: 10, refill: 2, per: '1s' }),
    tokenBucket({ capacity: 4, refill: 2, per: '1s' }),
    // Down to 3 missing tokens.
    { remaining: 0, retryUs: 3 * second, resetUs: 4 * second },
  ],
  [
    'tokenBucket, filled faster',
    tokenBucket({ capacity: 10, refill: 2, per: '1s' }),
    tokenBucket({ capacity: 10, refill: 4, per: '1s' }),
    { remaining: 2, retryUs: 0, resetUs: 2 * second },
  ],
  [
    'gcra, faster',
    gcra({ rate: 1, per: '1s', burst: 10 }),
    gcra({ rate: 100, per: '1s', burst: 10 }),
    { remaining: 2, retryUs: 0, resetUs: 80_000 },
  ],
  [
    'gcra, slower',
    gcra({ rate: 100, per: '1s', burst: 10 }),
    gcra({ rate: 1, per: '1s', burst: 10 }),
    { remaining: 2, retryUs: 0, resetUs: 8 * second },
  ],
  [
    'gcra, larger',
    gcra({ rate: 1, per: '1s', burst: 10 }),
    gcra({ rate: 1, per: '1s', burst: 20 }),
    { remaining: 12, retryUs: 0, resetUs: 8 * second },
  ],
  [
    'gcra, smaller',
    gcra({ rate: 1, per: '1s', burst: 10 }),
    gcra({ rate: 1, per: '1s', burst: 5 }),
    { remaining: 0, retryUs: 4 * second, resetUs: 8 * second },
  ],
  [
    'concurrency, raised',
    concurrency({ limit: 10, lease: '10s' }),
    concurrency({ limit: 20, lease: '10s' }),
    { remaining: 12, retryUs: 0 },
  ],
  [
    'concurrency, lowered, with a shorter lease',
    concurrency({ limit: 10, lease: '10s' }),
    concurrency({ limit: 5, lease: '1s' }),
    { remaining: 0, retryUs: 10 * second },
  ],
];

function partOf(limit: Limit): string | undefined {
  return compilePolicy('api', limit, 'local').limits[0]?.part;
}

describeOn(standalone)('limits that change', (redis) => {
  let app: TestApp;
  let connection: RedisConnection;

  beforeAll(async () => {
    app = await startApp(redis.connection, {});
    connection = app.get(RedisConnections).get('default');
  });
  afterAll(() => app.close());

  // At the beginning of a second, so that the first bucket counts for its full length.
  const atUs = someMomentUs - (someMomentUs % BigInt(second));

  async function ask(key: string, limit: Limit, options: { take: boolean; id: string; atUs?: bigint }) {
    const { outcomes } = await decideAt(connection, options.atUs ?? atUs, [{ key, limit, cost: 1 }], options);
    return outcomes[0]?.verdicts[0];
  }

  it.each(changes)('hold at once for what has been counted: %s', async (_name, before, after, says) => {
    expect(partOf(after)).toBe(partOf(before));
    const key = newSubject()();
    for (let i = 0; i < 8; i++)
      expect(await ask(key, before, { take: true, id: `${i}` })).toMatchObject({ allowed: true });
    const said = await ask(key, after, { take: false, id: 'after' });
    expect(said).toMatchObject(says);
    if (said === undefined || said.retryUs === 0) return;
    const dueUs = atUs + BigInt(said.retryUs);
    expect(await ask(key, after, { take: true, id: 'after', atUs: dueUs - 1n })).toMatchObject({ allowed: false });
    expect(await ask(key, after, { take: true, id: 'after', atUs: dueUs })).toMatchObject({ allowed: true });
  });

  it('round what is owed up to whole units when a rate changes, so that nothing is given away', async () => {
    const key = newSubject()();
    await ask(key, gcra({ rate: 1, per: '1s', burst: 10 }), { take: true, id: '' });
    const halfUs = atUs + 500_000n;
    const other = gcra({ rate: 10, per: '1s', burst: 10 });
    expect(await ask(key, other, { take: false, id: '', atUs: halfUs })).toMatchObject({ remaining: 10, resetUs: 0 });
    expect(await ask(key, gcra({ rate: 1, per: '1s', burst: 10 }), { take: true, id: '', atUs: halfUs })).toMatchObject(
      {
        remaining: 8,
        resetUs: 1_500_000,
      },
    );
    // One and a half units count as two.
    expect(await ask(key, other, { take: false, id: '', atUs: halfUs })).toMatchObject({
      remaining: 8,
      resetUs: 200_000,
    });
  });

  it('start a new count when the time over which they count changes', () => {
    expect(partOf(slidingWindow({ limit: 5, window: '1m' }))).not.toBe(
      partOf(slidingWindow({ limit: 5, window: '2m' })),
    );
    expect(partOf(slidingLog({ limit: 5, window: '1m' }))).not.toBe(partOf(slidingLog({ limit: 5, window: '2m' })));
    expect(partOf(fixedWindow({ limit: 5, window: '1m' }))).not.toBe(partOf(fixedWindow({ limit: 5, window: '2m' })));
    expect(partOf(fixedWindow({ limit: 5, window: '1m' }))).not.toBe(
      partOf(fixedWindow({ limit: 5, window: '1m', start: 'calendar' })),
    );
    expect(partOf(tokenBucket({ capacity: 5, per: '1m' }))).not.toBe(partOf(tokenBucket({ capacity: 5, per: '2m' })));
    expect(partOf(gcra({ rate: 5, per: '1m' }))).not.toBe(partOf(gcra({ rate: 5, per: '2m' })));
  });

  it.each([
    ['1h', '2026-11-21T20:15:30Z', '2026-11-21T21:00:00Z'],
    ['1d', '2026-11-21T20:15:30Z', '2026-11-22T00:00:00Z'],
    ['7d', '2026-11-21T20:15:30Z', '2026-11-23T00:00:00Z'],
    ['7d', '2026-11-23T00:00:00Z', '2026-11-30T00:00:00Z'],
  ] as const)('end a window of %s by the calendar', async (window, now, end) => {
    const limit = fixedWindow({ limit: 1, window, start: 'calendar' });
    const key = newSubject()();
    const nowUs = BigInt(Date.parse(now)) * 1_000n;
    await ask(key, limit, { take: true, id: '', atUs: nowUs });
    const denied = await ask(key, limit, { take: true, id: '', atUs: nowUs });
    expect(denied?.retryUs).toBe((Date.parse(end) - Date.parse(now)) * 1_000);
  });
});

describe('limits that change while this process counts', () => {
  // Like the script: at the beginning of a second.
  const startMs = 20_000;

  it.each(changes)('hold at once for what has been counted: %s', (_name, before, after, says) => {
    const clock = new ManualClock(startMs);
    const local = new LocalLimiter(10, clock);
    const ask = (limit: Limit, take: boolean, id: string) =>
      local.decide([{ key: 'k', limit, cost: 1, enforce: true, blockMs: 0 }], take, id).verdicts[0];
    for (let i = 0; i < 8; i++) expect(ask(before, true, `${i}`)).toMatchObject({ allowed: true });
    const said = ask(after, false, 'after');
    expect(said).toMatchObject(says);
    if (said === undefined || said.retryUs === 0) return;
    clock.advance(said.retryUs / 1_000 - 1);
    expect(ask(after, true, 'after')).toMatchObject({ allowed: false });
    clock.advance(1);
    expect(ask(after, true, 'after')).toMatchObject({ allowed: true });
  });
});
