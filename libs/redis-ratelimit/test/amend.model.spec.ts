import fc from 'fast-check';
import { RedisConnections, type RedisConnection } from '@redstart/redis-core';
import { cluster, describeOn, standalone } from '@redstart/redis-testing';
import type { Charge } from '../src/algorithms/algorithm.js';
import type { Limit } from '../src/algorithms/algorithms.js';
import type { Amendment, LimitKey } from '../src/scripts/amend.js';
import type { Verdict } from '../src/scripts/decide.js';
import { kinds, limitsByKind } from './models/limits.js';
import { amendAt, decideAt, newSubject, someMomentUs } from './support/driven-script.js';
import { startApp, type TestApp } from './test-app.js';

const runs = Number(process.env['RATELIMIT_RUNS'] ?? 15);
const rates = kinds.filter((kind) => kind !== 'concurrency');

const laterUs = fc.oneof(
  { weight: 1, arbitrary: fc.constant(0) },
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 70_000 }) },
);
const history = fc.array(fc.record({ laterUs, cost: fc.integer({ min: 1, max: 4 }) }), { maxLength: 6 });

function startsWithCall(limit: Limit): boolean {
  return limit.kind === 'fixed-window' && limit.originUs === undefined;
}

describeOn(standalone, cluster)('corrections', (redis) => {
  let app: TestApp;
  let connection: RedisConnection;

  beforeAll(async () => {
    app = await startApp(redis.connection, {});
    connection = app.get(RedisConnections).get('default');
  });
  afterAll(() => app.close());

  describe.each(rates)('%s', (kind) => {
    /** A subject whose history the test makes. */
    class Subject {
      readonly #limit: LimitKey;

      constructor(limit: Limit) {
        this.#limit = { key: newSubject()(), limit };
      }

      async take(atUs: bigint, cost: number): Promise<Charge | undefined> {
        const { outcomes } = await decideAt(connection, atUs, [{ ...this.#limit, cost }]);
        const [verdict] = outcomes[0]?.verdicts ?? [];
        return verdict?.allowed === true ? { cost, mark: verdict.mark, atUs: Number(atUs) } : undefined;
      }

      async look(atUs: bigint, cost = 0): Promise<Omit<Verdict, 'mark'>> {
        const { outcomes } = await decideAt(connection, atUs, [{ ...this.#limit, cost }], { take: false });
        const [verdict] = outcomes[0]?.verdicts ?? [];
        if (verdict === undefined) throw new Error('no verdict');
        const { mark: _, ...said } = verdict;
        return said;
      }

      give(atUs: bigint, charge: Charge) {
        return this.#amend(atUs, { verb: 'give', charges: [charge] });
      }

      penalize(atUs: bigint, units: number) {
        return this.#amend(atUs, { verb: 'penalize', units });
      }

      set(atUs: bigint, units: number) {
        return this.#amend(atUs, { verb: 'set', units });
      }

      block(atUs: bigint, ms: number) {
        return this.#amend(atUs, { verb: 'block', ms });
      }

      async #amend(atUs: bigint, amendment: Amendment) {
        const { changes, writes, ttls } = await amendAt(connection, atUs, [this.#limit], amendment);
        const { resetUs } = await this.look(atUs);
        for (const { setMs, leftMs } of ttls) {
          if (setMs < 0) continue;
          expect(setMs * 1_000).toBeGreaterThanOrEqual(resetUs);
          // It has one. A millisecond may be over already.
          expect(leftMs).toBeGreaterThanOrEqual(0);
        }
        return { change: changes[0] ?? 0, writes };
      }
    }

    /** Makes a history, and returns when it ends. The server keeps the order of what is sent at once. */
    async function live(subject: Subject, calls: readonly { laterUs: number; cost: number }[]): Promise<bigint> {
      let atUs = someMomentUs;
      // A script that a node does not know yet would run behind what is sent after it.
      await subject.look(atUs);
      await Promise.all(
        calls.map((call) => {
          atUs += BigInt(call.laterUs);
          return subject.take(atUs, call.cost);
        }),
      );
      return atUs;
    }

    const check = <T>(values: fc.Arbitrary<T>, property: (value: T) => Promise<void>) =>
      fc.assert(fc.asyncProperty(values, property), { numRuns: runs });

    /** Goes on until what it is about has come up often enough, which in a few runs it may not by chance. */
    async function checkUntil<T>(isEnough: () => boolean, ...checked: Parameters<typeof check<T>>): Promise<void> {
      for (let round = 0; round < 5 && !isEnough(); round++) await check(...checked);
      expect(isEnough()).toBe(true);
    }

    it('says right after a refund what it said before the charge', async () => {
      let refunds = 0;
      const one = fc.record({ limit: limitsByKind[kind], history, cost: fc.integer({ min: 1, max: 4 }) });
      const isEnough = () => refunds > runs / 10;
      await checkUntil(isEnough, one, async ({ limit: { limit }, history: calls, cost }) => {
        const subject = new Subject(limit);
        const atUs = await live(subject, calls);
        const before = await subject.look(atUs);
        const charge = await subject.take(atUs, cost);
        if (charge === undefined) return;
        expect((await subject.give(atUs, charge)).change).toBe(-cost);
        expect(await subject.look(atUs)).toEqual(before);
        refunds++;
      });
    });

    it('never gives back more than the charge still takes, nor into a later window', async () => {
      const one = fc.record({
        limit: limitsByKind[kind],
        before: history,
        cost: fc.integer({ min: 1, max: 4 }),
        after: history,
        laterUs,
      });
      let partial = 0;
      const isEnough = () => partial > 0;
      await checkUntil(isEnough, one, async ({ limit: { limit }, before, cost, after, laterUs: later }) => {
        const subject = new Subject(limit);
        const unconsumed = new Subject(limit);
        let atUs = await live(subject, before);
        await live(unconsumed, before);
        const charge = await subject.take(atUs, cost);
        if (charge === undefined) return;
        for (const call of after) {
          atUs += BigInt(call.laterUs);
          // What fits beside the charge fits without it.
          if ((await subject.take(atUs, call.cost)) !== undefined) await unconsumed.take(atUs, call.cost);
        }
        atUs += BigInt(later);
        const charged = await subject.look(atUs);
        const { change, writes } = await subject.give(atUs, charge);
        const refunded = await subject.look(atUs);
        const without = await unconsumed.look(atUs);
        // More is left than without the charge only where it had started a period that has ended since.
        expect(refunded.remaining).toBeLessThanOrEqual(Math.max(without.remaining, charged.remaining));
        expect(refunded.remaining).toBeGreaterThanOrEqual(charged.remaining);
        expect(refunded.resetUs).toBeLessThanOrEqual(charged.resetUs);
        // The window or period that the charge has started goes on, so what others have taken comes back that much earlier.
        const started =
          limit.kind === 'token-bucket' ? limit.perUs : startsWithCall(limit) ? limit.windowMs * 1_000 : 1;
        expect(refunded.resetUs).toBeGreaterThan(without.resetUs - started);
        expect(change).toBeLessThanOrEqual(0);
        expect(writes > 0).toBe(change < 0);
        if (change > -cost) partial++;
      });
    });

    it('takes at most what is left as a penalty', async () => {
      const one = fc.record({ limit: limitsByKind[kind], history, units: fc.integer({ min: 0, max: 20 }) });
      await check(one, async ({ limit: { limit }, history: calls, units }) => {
        const subject = new Subject(limit);
        const atUs = await live(subject, calls);
        const { remaining } = await subject.look(atUs);
        const { change } = await subject.penalize(atUs, units);
        expect(change).toBe(Math.min(units, remaining));
        expect((await subject.look(atUs)).remaining).toBe(remaining - change);
      });
    });

    it('sets a count as if it had been taken just now of a full one', async () => {
      const one = fc.record({ limit: limitsByKind[kind], history, share: fc.nat({ max: 12 }) });
      await check(one, async ({ limit: { limit }, history: calls, share }) => {
        const units = Math.min(share, limit.limit);
        const subject = new Subject(limit);
        const fresh = new Subject(limit);
        const atUs = await live(subject, calls);
        await subject.set(atUs, units);
        await fresh.take(atUs, units);
        expect(await subject.look(atUs)).toEqual(await fresh.look(atUs));
        expect(await subject.look(atUs + 12_345n, limit.limit)).toEqual(await fresh.look(atUs + 12_345n, limit.limit));
      });
    });

    it('blocks to the microsecond, and counts as before afterwards', async () => {
      const one = fc.record({ limit: limitsByKind[kind], history, ms: fc.integer({ min: 1, max: 200 }) });
      await check(one, async ({ limit: { limit }, history: calls, ms }) => {
        const subject = new Subject(limit);
        const untouched = new Subject(limit);
        const atUs = await live(subject, calls);
        await live(untouched, calls);
        await subject.block(atUs, ms);
        const endUs = atUs + BigInt(ms) * 1_000n;
        expect(await subject.look(endUs - 1n, 1)).toMatchObject({ allowed: false, blocked: true, remaining: 0 });
        expect(await subject.look(endUs, 1)).toEqual(await untouched.look(endUs, 1));
        await Promise.all([subject.take(endUs, 1), untouched.take(endUs, 1)]);
        expect(await subject.look(endUs)).toEqual(await untouched.look(endUs));
      });
    });
  });
});
