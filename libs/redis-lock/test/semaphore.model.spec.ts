import { describeOn, standalone } from '@redstart/redis-testing';
import fc from 'fast-check';
import { SemaphoreLimitError } from '../src/index.js';
import type { SemaphoreKeys } from '../src/keys.js';
import { Permits } from '../src/semaphore/permits.js';
import { SemaphoreModel } from './models/semaphore.model.js';
import {
  holderNear,
  mostly,
  RisingFences,
  slots,
  trialsTimeoutMs,
  tryOut,
  ttlMs,
  type Workbench,
} from './models/trials.js';

const act = fc.record({
  slot: fc.nat({ max: slots - 1 }),
  kind: fc.oneof(
    { weight: 4, arbitrary: fc.constant('acquire' as const) },
    { weight: 4, arbitrary: fc.constantFrom('release' as const, 'ask again' as const) },
    { weight: 2, arbitrary: fc.constantFrom('extend' as const, 'give up' as const, 'lapse' as const) },
  ),
  queue: mostly,
  hears: mostly,
  count: fc.integer({ min: 1, max: 3 }),
  /** Goes by the same number of permits as the others. */
  agrees: fc.integer({ min: 0, max: 9 }).map((n) => n > 0),
});
type Act = typeof act extends fc.Arbitrary<infer T> ? T : never;

interface Slot {
  readonly permits: Permits;
  readonly count: number;
  readonly limit: number;
  readonly queue: boolean;
}

/** One semaphore, in Redis and as a model, to which the same is done. */
class Trial {
  readonly model: SemaphoreModel;
  readonly #slots: (Slot | undefined)[] = [];
  readonly #fences = new RisingFences();

  constructor(
    private readonly bench: Workbench,
    private readonly keys: SemaphoreKeys,
    limit: number,
  ) {
    this.model = new SemaphoreModel(limit, (owner) => bench.listener.hears(owner));
  }

  /** @returns how many were given permits */
  async run(act: Act): Promise<number> {
    const at =
      act.kind === 'release'
        ? holderNear(act.slot, this.#slots, (one) => this.model.holds(one.permits.owner))
        : act.slot;
    if (act.kind === 'acquire') {
      if (this.#slots[at] !== undefined) return 0;
      this.#slots[at] = this.#newSlot(act);
    }
    const slot = this.#slots[at];
    if (slot === undefined) return 0;
    const told = this.model.pushed.length;
    const answered = await this.#do(act.kind, slot);
    if (act.kind === 'give up' || (act.kind === 'release' && answered)) this.#slots[at] = undefined;
    const [heard] = await Promise.all([this.bench.listener.takeTold(), this.#expectSame()]);
    expect(heard.map(({ owner }) => owner)).toEqual(this.model.pushed.slice(told));
    this.#fences.expectRising(heard.map(({ fence }) => fence));
    return heard.length;
  }

  /** @returns what the call answered */
  async #do(kind: Act['kind'], { permits, count, limit, queue }: Slot): Promise<boolean> {
    const { owner } = permits;
    switch (kind) {
      case 'acquire':
      case 'ask again': {
        const expected = this.model.acquire(owner, count, limit, queue);
        if (expected === 'wrong limit') {
          await expect(permits.acquire(queue)).rejects.toThrow(SemaphoreLimitError);
          return false;
        }
        const reply = await permits.acquire(queue);
        expect(reply.acquired).toBe(expected);
        if (reply.acquired) this.#fences.answered.push(reply.fencingToken);
        return reply.acquired;
      }
      case 'extend':
        expect(await permits.extend(ttlMs)).toBe(this.model.holds(owner));
        return true;
      case 'release': {
        const expected = this.model.release(owner);
        expect(await permits.release(0)).toBe(expected);
        return expected;
      }
      case 'give up':
        this.model.giveUp(owner);
        await permits.giveUp();
        return true;
      case 'lapse':
        this.model.lapse(owner);
        for (let number = 1; number <= count; number++) {
          await this.bench.client.zadd(this.keys.permits, 'XX', 1, `${number} ${owner}`);
        }
        await this.bench.client.zadd(this.keys.waiters, 'XX', 1, `${count} ${owner}`);
        return true;
    }
  }

  #newSlot({ hears, count, agrees, queue }: Act): Slot {
    const limit = agrees ? this.model.limit : this.model.limit + 1;
    const wanted = { owner: this.bench.listener.newOwner(hears), ttlMs, count: Math.min(count, limit), limit };
    return { permits: new Permits(this.bench.runtime, this.keys, wanted), count: wanted.count, limit, queue };
  }

  async #expectSame(): Promise<void> {
    const { keys, bench, model } = this;
    const { client } = bench;
    const [members, queue, waiters, ...ttls] = await Promise.all([
      client.zrangebyscore(keys.permits, '(1', '+inf'),
      client.lrange(keys.queue, 0, -1),
      client.zrangebyscore(keys.waiters, '(1', '+inf'),
      ...[keys.permits, keys.fence, keys.queue, keys.waiters, keys.limit].map((key) => client.pttl(key)),
    ]);
    const permits = [...model.out].flatMap(([owner, count]) =>
      Array.from({ length: count }, (_, number) => `${number + 1} ${owner}`),
    );
    expect(members.sort()).toEqual(permits.sort());
    expect(members.length).toBeLessThanOrEqual(model.limit);
    expect(queue.filter((entry) => waiters.includes(entry))).toEqual(
      model.queue.filter(({ alive }) => alive).map(({ owner, count }) => `${count} ${owner}`),
    );
    expect(ttls).not.toContain(-1);
  }
}

describeOn(standalone)('the scripts of a semaphore', (redis) => {
  it(
    'do what the model does: never more permits than there are, in their order, nothing without an expiry',
    async () => {
      const cases = fc.record({
        limit: fc.integer({ min: 1, max: 5 }),
        acts: fc.array(act, { minLength: 10, maxLength: 80, size: 'max' }),
      });
      await tryOut(redis, cases, async (bench, subject, { limit, acts }) => {
        const trial = new Trial(bench, bench.runtime.semaphoreKeysOf(subject), limit);
        let pushed = 0;
        for (const one of acts) pushed += await trial.run(one);
        return pushed;
      });
    },
    trialsTimeoutMs,
  );
});
