import { RedisCommandError, systemClock } from '@redstart/redis-core';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import type { Cluster, Redis } from 'ioredis';
import {
  all,
  concurrency,
  createPolicies,
  fixedWindow,
  gcra,
  RateLimitService,
  slidingLog,
  slidingWindow,
  tokenBucket,
  type RateLimitDecision,
} from '../src/index.js';
import type { Limit } from '../src/algorithms/algorithms.js';
import { compilePolicy } from '../src/policies/policy.js';
import { startApp, type TestApp } from './test-app.js';

const limits = {
  'sliding-window': slidingWindow({ limit: 3, window: '1h' }),
  'sliding-log': slidingLog({ limit: 3, window: '1h' }),
  'fixed-window': fixedWindow({ limit: 3, window: '1h' }),
  'token-bucket': tokenBucket({ capacity: 3, per: '1h' }),
  gcra: gcra({ rate: 3, per: '1h' }),
  concurrency: concurrency({ limit: 3, lease: '1h' }),
} satisfies Record<Limit['kind'], Limit>;
type Kind = keyof typeof limits;
const kinds = Object.keys(limits) as Kind[];
const rates = kinds.filter((kind) => kind !== 'concurrency');

const both = all(slidingWindow({ limit: 3, window: '1h' }), gcra({ rate: 10, per: '2h' }));

const policies = createPolicies({
  ...limits,
  both,
  often: gcra({ rate: 30, per: '1s', burst: 1 }),
});

function keyOf(kind: Kind, subject: string): string {
  return `test:ratelimit:{${subject}}:${compilePolicy(kind, limits[kind], 'local').limits[0]?.part ?? ''}`;
}

type Client = Redis | Cluster;
const hash = (fields: Record<string, string>) => (client: Client, key: string) => client.hset(key, fields);
const zset = (score: string, member: string) => (client: Client, key: string) => client.zadd(key, score, member);
const text = (value: string) => (client: Client, key: string) => client.set(key, value);

/** What no limit of any kind has written. */
const foreign: readonly (readonly [name: string, write: (client: Client, key: string) => Promise<unknown>])[] = [
  ['a list', (client, key) => client.rpush(key, '1')],
  ['a set', (client, key) => client.sadd(key, '1')],
  ...[
    '',
    'garbage',
    '1e999 5 0 1',
    '-5 1 0 1',
    '99999999999999999999 1 0 1',
    '5 1.5 0 1',
    ' 5 1 0',
    '5 1 0 1 1',
    'nan nan nan',
  ].map((value) => [`the string '${value}'`, text(value)] as const),
  ...[
    { name: 'Ann' },
    { 5: 'x' },
    { 5: '1e999' },
    { 5: '-1' },
    { 5: '1.5' },
    { 5: 'nan' },
    { '-5': '1' },
    { 5.5: '1' },
    { '1e999': '1' },
    { blocked: 'soon' },
    Object.fromEntries(Array.from({ length: 9_000 }, (_, i) => [i, '1'])),
  ].map((fields) => [`the hash ${JSON.stringify(fields).slice(0, 30)}`, hash(fields)] as const),
  ...(
    [
      ['100', 'ann'],
      ['+inf', '3:3'],
      ['-inf', '3:3'],
      ['-5', '3:3'],
      ['7', 'blocked'],
      ['100', '3:x'],
    ] as const
  ).map(([score, member]) => [`the sorted set ${member} -> ${score}`, zset(score, member)] as const),
];

/** Of other kinds it would do. */
const withoutPrice = ['5 1 0', '5 1 0 0'].map((value) => [`the string '${value}'`, text(value)] as const);

describeOn(standalone, cluster)('the state of a limit', (redis) => {
  let app: TestApp;
  let limiter: RateLimitService;
  let client: Client;

  beforeAll(async () => {
    app = await startApp(redis.connection, { policies, budget: '10s' });
    limiter = app.get(RateLimitService);
    client = redis.client();
  });
  afterAll(() => app.close());

  /** Takes one, of whatever kind. */
  async function take(kind: Kind, subject: string): Promise<RateLimitDecision> {
    if (kind === 'concurrency') return (await limiter.acquire(kind, subject)).decision;
    const decision = await limiter.consume(kind, subject);
    if (!decision.allowed) throw new Error('denied');
    return decision;
  }

  async function imageOf(key: string) {
    const [dump, expiresAt] = await Promise.all([client.dumpBuffer(key), client.call('PEXPIRETIME', key)]);
    return { dump: dump.toString('base64'), expiresAt };
  }

  it.each(kinds)('%s: a denial and a look leave it as it is, to the byte and to its end', async (kind) => {
    for (let i = 0; i < 3; i++) await take(kind, 'full');
    const before = await imageOf(keyOf(kind, 'full'));
    expect(before.dump).toBeDefined();
    for (let i = 0; i < 3; i++) {
      await expect(take(kind, 'full')).rejects.toThrow(/denied|limit/i);
      expect(await limiter.peek(kind, 'full')).toMatchObject({ allowed: false, remaining: 0 });
    }
    expect(await imageOf(keyOf(kind, 'full'))).toEqual(before);
  });

  it.each(kinds)('%s: lives as long as it counts, and no key is left by a look', async (kind) => {
    await limiter.peek(kind, 'ann');
    expect(await client.exists(keyOf(kind, 'ann'))).toBe(0);
    const { resetAfterMs } = await take(kind, 'ann');
    const ttlMs = await client.pttl(keyOf(kind, 'ann'));
    expect(ttlMs).toBeGreaterThan(resetAfterMs - 10_000);
    expect(ttlMs).toBeLessThanOrEqual(resetAfterMs + 1);
  });

  it.each(kinds)('%s: gone between two calls, a full one begins', async (kind) => {
    for (let i = 0; i < 3; i++) await take(kind, 'evicted');
    await client.del(keyOf(kind, 'evicted'));
    expect((await take(kind, 'evicted')).remaining).toBe(2);
  });

  it.each(rates)('%s: a receipt of what is gone gives nothing, and one gives once', async (kind) => {
    const { receipt } = await limiter.consume(kind, 'once', { cost: 2 });
    if (receipt === undefined) throw new Error('no receipt');
    await limiter.consume(kind, 'once');
    const refunds = [await limiter.refund(receipt), await limiter.refund(receipt)];
    expect(refunds).toEqual([true, false]);
    expect((await limiter.peek(kind, 'once')).remaining).toBe(2);
    const gone = (await limiter.consume(kind, 'gone', { cost: 2 })).receipt;
    if (gone === undefined) throw new Error('no receipt');
    await client.del(keyOf(kind, 'gone'));
    expect(await limiter.refund(gone)).toBe(false);
    expect(await client.exists(keyOf(kind, 'gone'))).toBe(0);
  });

  it('tells times in whole milliseconds, rounded up: whoever waits that long is admitted', async () => {
    expect((await limiter.consume('often', 'patient')).allowed).toBe(true);
    // On a machine that stalls the 34 ms may be over already, and the next one is admitted.
    const { retryAfterMs: waitMs } = await eventually(
      async () => {
        const denied = await limiter.consume('often', 'patient');
        expect(denied.allowed).toBe(false);
        return denied;
      },
      { every: 0 },
    );
    expect(Number.isInteger(waitMs)).toBe(true);
    expect(waitMs).toBeLessThanOrEqual(34);
    await new Promise<void>((resolve) => systemClock.after(waitMs, resolve));
    expect(await limiter.consume('often', 'patient')).toMatchObject({ allowed: true, retryAfterMs: 0 });
  });

  it.each(rates)(
    'of a %s lives as long as it counts, whichever of its charges came last, and as long as a block',
    async (kind) => {
      const subject = `lives ${kind}`;
      const endsMs = async () => Number(await client.call('PEXPIRETIME', keyOf(kind, subject)));
      const ends: number[] = [];
      for (let charges = 0; charges < 3; charges++) {
        const { receipt, resetAfterMs } = await take(kind, subject);
        // Rounded up to a millisecond. Some servers count a TTL from when the script began, and a machine may let it wait before it looks at the clock.
        expect(await endsMs()).toBeGreaterThan((receipt?.atUs ?? Infinity) / 1_000 + resetAfterMs - 1_000);
        ends.push(await endsMs());
      }
      await limiter.block(kind, subject, '3h');
      const [seconds, micros] = await client.time();
      expect(await endsMs()).toBeGreaterThan(Number(seconds) * 1_000 + Number(micros) / 1_000 + 3 * 3_600_000 - 60_000);
      expect(Math.min(...ends)).toBeGreaterThan(Number(seconds) * 1_000);
    },
  );

  it('is not read when it is more than a limit writes', async () => {
    const servers = redis.topology === 'cluster' ? redis.cluster.servers : [redis.server];
    const reads = async () => {
      const told = await Promise.all(servers.map((server) => server.client().info('commandstats')));
      return told.reduce((sum, stats) => sum + Number(/cmdstat_hgetall:calls=(\d+)/.exec(stats)?.[1] ?? 0), 0);
    };
    const small = keyOf('sliding-window', 'small');
    await client.hset(small, Object.fromEntries(Array.from({ length: 11 }, (_, bucket) => [bucket, '1'])));
    const large = keyOf('sliding-window', 'large');
    await client.hset(large, Object.fromEntries(Array.from({ length: 9_000 }, (_, bucket) => [bucket, '1'])));
    const before = await reads();
    expect((await limiter.consume('sliding-window', 'small')).remaining).toBe(2); // Long ago.
    expect(await reads()).toBe(before + 1);
    await expect(limiter.consume('sliding-window', 'large')).rejects.toThrow(/something else/);
    expect(await reads()).toBe(before + 1);
    await client.del(large);
  });

  it('is decided by scripts that somebody may flush at any time', async () => {
    await limiter.consume('both', 'flushed');
    const flush = async () => {
      const nodes = 'nodes' in client ? client.nodes('master') : [client];
      await Promise.all(nodes.map((node) => node.call('SCRIPT', 'FLUSH')));
    };
    const decisions: boolean[] = [];
    for (let i = 0; i < 3; i++) {
      await flush();
      decisions.push((await limiter.consume('both', 'flushed')).allowed);
    }
    expect(decisions).toEqual([true, true, false]);
    await flush();
    await limiter.penalize('both', 'flushed', { cost: 1 });
    expect((await limiter.peek('both', 'flushed')).limits.map(({ remaining }) => remaining)).toEqual([0, 6]);
  });

  describe.each(kinds)('%s, where somebody keeps something else', (kind) => {
    it('refuses that subject alone, touches nothing, and is cured by a reset', async () => {
      // The script is the same there.
      const some = redis.topology === 'cluster' ? foreign.filter((_, index) => index % 6 === 0) : foreign;
      for (const [name, write] of [...some, ...(kind === 'gcra' ? withoutPrice : [])]) {
        const key = keyOf(kind, 'theirs');
        await write(client, key);
        const before = await imageOf(key);
        const ours = `ours with ${name}`;
        const [first, theirs, second, look] = await Promise.allSettled([
          take(kind, ours),
          take(kind, 'theirs'),
          take(kind, ours),
          limiter.peek(kind, 'theirs'),
        ]);
        for (const refused of [theirs, look]) {
          const reason: unknown = refused.status === 'rejected' ? refused.reason : undefined;
          expect({ name, refused: reason instanceof RedisCommandError }).toEqual({ name, refused: true });
        }
        expect({ name, first, second }).toMatchObject({
          first: { value: { remaining: 2 } },
          second: { value: { remaining: 1 } },
        });
        await expect(limiter.block(kind, 'theirs', '1s')).rejects.toThrow(RedisCommandError);
        if (kind !== 'concurrency') {
          await expect(limiter.penalize(kind, 'theirs')).rejects.toThrow(RedisCommandError);
          await expect(limiter.set(kind, 'theirs', 1)).rejects.toThrow(RedisCommandError);
        }
        expect({ name, ...(await imageOf(key)) }).toEqual({ name, ...before });
        expect(await limiter.reset(kind, 'theirs')).toBe(true);
        expect((await take(kind, 'theirs')).remaining).toBe(2);
        await limiter.reset(kind, 'theirs');
      }
    });
  });

  it('refuses a call whose other limit is not ours, and charges none', async () => {
    const [log = '', other = ''] = compilePolicy('both', both, 'local').limits.map(
      ({ part }) => `test:ratelimit:{half}:${part}`,
    );
    await client.set(other, 'garbage');
    await expect(limiter.consume('both', 'half')).rejects.toThrow(RedisCommandError);
    await expect(limiter.penalize('both', 'half')).rejects.toThrow(RedisCommandError);
    expect(await client.exists(log)).toBe(0);
  });
});
