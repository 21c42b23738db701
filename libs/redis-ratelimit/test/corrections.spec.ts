import { OptionsError } from '@redstart/redis-core';
import { cluster, describeOn, standalone } from '@redstart/redis-testing';
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
  type RateLimitReceipt,
} from '../src/index.js';
import { startApp, type TestApp } from './test-app.js';

const kinds = {
  window: slidingWindow({ limit: 5, window: '1h' }),
  log: slidingLog({ limit: 5, window: '1h' }),
  fixed: fixedWindow({ limit: 5, window: '1h' }),
  bucket: tokenBucket({ capacity: 5, refill: 1, per: '1h' }),
  gcra: gcra({ rate: 5, per: '1h' }),
};
const policies = createPolicies({
  ...kinds,
  both: all(slidingWindow({ limit: 5, window: '1m' }), gcra({ rate: 10, per: '1h' })),
  ban: slidingWindow({ limit: 2, window: '1m', block: '1h' }),
  shadow: slidingWindow({ limit: 1, window: '1h', enforce: false }),
  slots: all(concurrency({ limit: 2 }), gcra({ rate: 5, per: '1h' })),
  exact: gcra({ rate: 5, per: '1h', exact: true }),
});

describeOn(standalone, cluster)('corrections', (redis) => {
  let app: TestApp;
  let limiter: RateLimitService;

  beforeAll(async () => {
    app = await startApp(redis.connection, { policies, budget: '5s' });
    limiter = app.get(RateLimitService);
  });
  afterAll(() => app.close());

  const receiptOf = async (policy: string, key: string, cost: number): Promise<RateLimitReceipt> => {
    const { receipt } = await limiter.consume(policy, key, { cost });
    if (receipt === undefined) throw new Error('Nothing was charged.');
    return receipt;
  };
  const remainingOf = async (policy: string, key: string) => (await limiter.peek(policy, key)).remaining;

  describe.each(Object.keys(kinds))('of %s', (kind) => {
    it('give back what a receipt says, once', async () => {
      await limiter.consume(kind, 'refund', { cost: 2 });
      const receipt = await receiptOf(kind, 'refund', 2);
      expect(await remainingOf(kind, 'refund')).toBe(1);
      expect(await limiter.refund(receipt)).toBe(true);
      expect(await remainingOf(kind, 'refund')).toBe(3);
      expect(await limiter.refund(receipt)).toBe(false);
      expect(await remainingOf(kind, 'refund')).toBe(3);
    });

    it('give back by a receipt that has travelled, and nothing that is not counted any more', async () => {
      const receipt = structuredClone(await receiptOf(kind, 'travel', 3));
      await limiter.reset(kind, 'travel');
      expect(await limiter.refund(receipt)).toBe(false);
      expect(await remainingOf(kind, 'travel')).toBe(5);
      const again: unknown = JSON.parse(JSON.stringify(await receiptOf(kind, 'travel', 3)));
      expect(await limiter.refund(again as RateLimitReceipt)).toBe(true);
      expect(await remainingOf(kind, 'travel')).toBe(5);
      expect(await redis.client().keys('test:ratelimit:{travel}*')).toEqual([]);
    });

    it('take more than was charged, but no more than there is', async () => {
      await limiter.consume(kind, 'dear');
      await limiter.penalize(kind, 'dear', { cost: 2 });
      expect(await remainingOf(kind, 'dear')).toBe(2);
      await limiter.penalize(kind, 'dear', { cost: 100 });
      expect(await remainingOf(kind, 'dear')).toBe(0);
    });

    it('set the count', async () => {
      await limiter.consume(kind, 'moved', { cost: 4 });
      await limiter.set(kind, 'moved', 1);
      expect(await remainingOf(kind, 'moved')).toBe(4);
      await limiter.set(kind, 'moved', 5);
      expect(await limiter.consume(kind, 'moved')).toMatchObject({ allowed: false });
      await limiter.set(kind, 'moved', 0);
      expect(await remainingOf(kind, 'moved')).toBe(5);
      await expect(limiter.set(kind, 'moved', 6)).rejects.toThrow('used');
    });

    it('block for as long as they say, until reset', async () => {
      await limiter.consume(kind, 'bad');
      await limiter.block(kind, 'bad', '10m');
      const denied = await limiter.consume(kind, 'bad');
      expect(denied).toMatchObject({ allowed: false, remaining: 0, limits: [{ blocked: true }] });
      expect(denied.retryAfterMs).toBeGreaterThan(590_000);
      expect(denied.retryAfterMs).toBeLessThanOrEqual(600_000);
      await limiter.block(kind, 'bad', '1h'); // A later one replaces it.
      expect((await limiter.peek(kind, 'bad')).retryAfterMs).toBeGreaterThan(3_500_000);
      expect(await limiter.reset(kind, 'bad')).toBe(true);
      expect(await remainingOf(kind, 'bad')).toBe(5);
      const [key] = await redis.client().keys('test:ratelimit:{bad}*');
      expect(key).toBeUndefined();
    });

    it('end a block by setting the count', async () => {
      await limiter.block(kind, 'bad', '1h');
      await limiter.set(kind, 'bad', 2);
      expect(await limiter.peek(kind, 'bad')).toMatchObject({ allowed: true, remaining: 3 });
      await limiter.block(kind, 'bad', '1h');
      await limiter.set(kind, 'bad', 0);
      expect(await limiter.peek(kind, 'bad')).toMatchObject({ allowed: true, remaining: 5 });
      expect(await redis.client().keys('test:ratelimit:{bad}*')).toEqual([]);
    });

    it('leave every key with a TTL', async () => {
      await limiter.consume(kind, 'ttl');
      await limiter.penalize(kind, 'ttl');
      await limiter.block(kind, 'ttl', '2h');
      const keys = await redis.client().keys('test:ratelimit:{ttl}:*');
      if (redis.topology === 'standalone') expect(keys).toHaveLength(1);
      for (const key of keys) expect(await redis.client().pttl(key)).toBeGreaterThan(0);
    });
  });

  it('reach every limit of a policy', async () => {
    const receipt = await receiptOf('both', 'ann', 4);
    expect(receipt.charges).toHaveLength(2);
    await limiter.refund(receipt);
    expect((await limiter.peek('both', 'ann')).limits.map(({ remaining }) => remaining)).toEqual([5, 10]);
    await limiter.penalize('both', 'ann', { cost: 7 });
    expect((await limiter.peek('both', 'ann')).limits.map(({ remaining }) => remaining)).toEqual([0, 3]);
  });

  it('a policy may block who exceeds it, and further calls do not prolong that', async () => {
    await limiter.consume('ban', 'eve', { cost: 2 });
    expect((await limiter.consume('ban', 'eve')).retryAfterMs).toBe(3_600_000);
    const key = 'test:ratelimit:{eve}:ban:sw-60000-10';
    const before = await redis.client().hget(key, 'blocked');
    expect(Number(before)).toBeGreaterThan(0);
    for (let i = 0; i < 3; i++) expect((await limiter.peek('ban', 'eve')).allowed).toBe(false);
    await limiter.check([
      { policy: 'ban', key: 'eve' },
      { policy: 'gcra', key: 'eve' },
    ]);
    expect(await redis.client().hget(key, 'blocked')).toBe(before);
    expect(await remainingOf('gcra', 'eve')).toBe(5);
  });

  it('a policy that does not enforce lets through and tells what it would have said', async () => {
    const calls = [await limiter.consume('shadow', 'ann'), await limiter.consume('shadow', 'ann')];
    expect(calls).toMatchObject([
      { allowed: true, enforced: false, remaining: 0, limits: [{ allowed: true }] },
      { allowed: true, enforced: false, retryAfterMs: 0, limits: [{ allowed: false }] },
    ]);
    const decisions = await limiter.check([
      { policy: 'shadow', key: 'ann' },
      { policy: 'gcra', key: 'ann' },
    ]);
    expect(decisions.every(({ allowed }) => allowed)).toBe(true);
    expect(await remainingOf('gcra', 'ann')).toBe(4);
  });

  it('an exact policy charges once, and gives receipts like any other', async () => {
    const receipt = await receiptOf('exact', 'ann', 2);
    expect(await remainingOf('exact', 'ann')).toBe(3);
    await limiter.refund(receipt);
    expect(await remainingOf('exact', 'ann')).toBe(5);
  });

  it('block every limit of a policy', async () => {
    await limiter.block('both', 'bad', '1h');
    const { limits } = await limiter.peek('both', 'bad');
    expect(limits.map(({ blocked }) => blocked)).toEqual([true, true]);
    await limiter.set('both', 'bad', 0);
    expect((await limiter.peek('both', 'bad')).allowed).toBe(true);
  });

  it('reach a block of slots as well, and leave the slots to their holders', async () => {
    const slot = await limiter.acquire('slots', 'ann');
    await limiter.block('slots', 'ann', '1h');
    expect((await limiter.peek('slots', 'ann')).allowed).toBe(false);
    await limiter.set('slots', 'ann', 1);
    expect((await limiter.peek('slots', 'ann')).limits.map(({ remaining }) => remaining)).toEqual([1, 4]);
    expect(await slot.release()).toBe(true);
  });

  it('believe no receipt that is none, or that charges somebody else', async () => {
    const receipt = await receiptOf('gcra', 'ann', 2);
    const other = await receiptOf('gcra', 'bob', 2);
    const wrong: readonly [string, unknown][] = [
      ['refund(receipt)', null],
      ['refund(receipt)', 'receipt'],
      ['refund(receipt)', { ...receipt, charges: null }],
      ['refund(receipt)', { ...receipt, policy: undefined }],
      ['refund(receipt)', { ...receipt, charges: Array.from({ length: 11 }, () => receipt.charges[0]) }],
      ['refund(receipt).cost', { ...receipt, cost: -1_000 }],
      ['refund(receipt).cost', { ...receipt, cost: 0.5 }],
      ['refund(receipt).cost', { ...receipt, cost: NaN }],
      ['refund(receipt).cost', { ...receipt, cost: '2' }],
      ['refund(receipt).atUs', { ...receipt, atUs: 'now' }],
      ['refund(receipt).countedBy', { ...receipt, countedBy: 'somebody' }],
      ['refund(receipt).charges[0]', { ...receipt, charges: [null] }],
      ['refund(receipt).charges[0].mark', { ...receipt, charges: [{ ...receipt.charges[0], mark: -1 }] }],
      ['not that of its subject', { ...receipt, charges: other.charges }],
      ['not that of its subject', { ...receipt, key: 'bob' }],
    ];
    for (const [problem, value] of wrong) {
      const error: unknown = await limiter.refund(value as RateLimitReceipt).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(OptionsError);
      expect(String(error)).toContain(problem);
    }
    expect([await remainingOf('gcra', 'ann'), await remainingOf('gcra', 'bob')]).toEqual([3, 3]);
    // A cost that is too large gives back what there is, and no more.
    expect(await limiter.refund({ ...receipt, cost: 1_000 })).toBe(true);
    expect(await remainingOf('gcra', 'ann')).toBe(5);
    expect(await limiter.refund(receipt)).toBe(false);
  });

  it('refuse wrong arguments by name', async () => {
    await expect(limiter.penalize('gcra', 'x', { cost: -1 })).rejects.toThrow('cost');
    await expect(limiter.block('gcra', 'x', '0s')).rejects.toThrow(OptionsError);
    await expect(limiter.consume('gcra', 'x', { cost: 1, ...{ costs: 1 } })).rejects.toThrow('consume.costs');
    await expect(
      limiter.refund({ policy: 'none', key: 'x', cost: 1, countedBy: 'redis', atUs: 0, charges: [] }),
    ).rejects.toThrow('none');
  });
});
