import { describeOn, standalone } from '@redstart/redis-testing';
import fc from 'fast-check';
import type { ReadWriteKeys } from '../src/keys.js';
import { ReadSide, WriteSide } from '../src/read-write/sides.js';
import { downgrade } from '../src/scripts/read-write/downgrade.js';
import { ReadWriteModel } from './models/read-write.model.js';
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
    { weight: 4, arbitrary: fc.constantFrom('read' as const, 'write' as const) },
    { weight: 3, arbitrary: fc.constantFrom('release' as const, 'ask again' as const) },
    { weight: 1, arbitrary: fc.constantFrom('extend' as const, 'give up' as const, 'downgrade' as const) },
    { weight: 1, arbitrary: fc.constant('lapse' as const) },
  ),
  queue: mostly,
  hears: mostly,
  /** Reads in the flow of calls of another owner. */
  beside: fc.option(fc.nat({ max: slots - 1 }), { freq: 6, nil: undefined }),
});
type Act = typeof act extends fc.Arbitrary<infer T> ? T : never;

interface Slot {
  readonly side: ReadSide | WriteSide;
  readonly queue: boolean;
  readonly beside: string | undefined;
}

/** One read/write lock, in Redis and as a model, to which the same is done. */
class Trial {
  readonly model = new ReadWriteModel((owner) => this.bench.listener.hears(owner));
  readonly #slots: (Slot | undefined)[] = [];
  readonly #fences = new RisingFences();

  constructor(
    private readonly bench: Workbench,
    private readonly keys: ReadWriteKeys,
  ) {}

  /** @returns how many were let in by a message */
  async run(act: Act): Promise<number> {
    const at =
      act.kind === 'release' ? holderNear(act.slot, this.#slots, (one) => this.model.holds(one.side.owner)) : act.slot;
    if (act.kind === 'read' || act.kind === 'write') {
      if (this.#slots[at] !== undefined) return 0;
      this.#slots[at] = this.#newSlot(act);
    }
    const slot = this.#slots[at];
    if (slot === undefined) return 0;
    const told = this.model.pushed.length;
    this.#slots[at] = await this.#do(act.kind, slot);
    const [heard] = await Promise.all([this.bench.listener.takeTold(), this.#expectSame()]);
    expect(heard.map(({ owner }) => owner).sort()).toEqual(this.model.pushed.slice(told).sort());
    this.#fences.expectRising(heard.map(({ fence }) => fence));
    return heard.length;
  }

  /** @returns what stands at its place from now on */
  async #do(kind: Act['kind'], slot: Slot): Promise<Slot | undefined> {
    const { model, keys } = this;
    const { side, queue, beside } = slot;
    const { owner } = side;
    const held = model.holds(owner);
    switch (kind) {
      case 'read':
      case 'write':
      case 'ask again': {
        const expected = side instanceof ReadSide ? model.read(owner, queue, beside) : model.write(owner, queue);
        const reply = await side.acquire(queue);
        expect(reply.acquired).toBe(expected);
        if (reply.acquired && !held) this.#fences.answered.push(reply.fencingToken);
        return slot;
      }
      case 'extend':
        expect(await side.extend(ttlMs)).toBe(held);
        return slot;
      case 'release':
        expect(await side.release(0)).toBe(model.release(owner));
        return held ? undefined : slot;
      case 'give up':
        model.giveUp(owner);
        await side.giveUp();
        return undefined;
      case 'downgrade':
        if (side instanceof ReadSide) return slot;
        expect(await downgrade(this.bench.runtime, keys, owner, ttlMs)).toBe(model.downgrade(owner));
        return held ? { ...slot, side: new ReadSide(this.bench.runtime, keys, owner, ttlMs) } : slot;
      case 'lapse':
        model.lapse(owner);
        await this.#lapse(owner);
        return slot;
    }
  }

  /** As if the time of all its leases had come. */
  async #lapse(owner: string): Promise<void> {
    const { keys, bench } = this;
    const { client } = bench;
    if ((await client.get(keys.holder)) === owner) await client.del(keys.holder);
    for (const set of [keys.readers, keys.waiters, keys.waitingReaders]) await client.zadd(set, 'XX', 1, owner);
  }

  #newSlot({ kind, hears, beside, queue }: Act): Slot {
    const owner = this.bench.listener.newOwner(hears);
    if (kind === 'write') {
      return { side: new WriteSide(this.bench.runtime, this.keys, owner, ttlMs), queue, beside: undefined };
    }
    const other = beside === undefined ? undefined : this.#slots[beside]?.side.owner;
    return { side: new ReadSide(this.bench.runtime, this.keys, owner, ttlMs, other), queue, beside: other };
  }

  async #expectSame(): Promise<void> {
    const { keys, bench, model } = this;
    const { client } = bench;
    const all = [keys.holder, keys.fence, keys.queue, keys.waiters, keys.readers, keys.waitingReaders];
    const [writer, readers, queue, waiters, waitingReaders, ...ttls] = await Promise.all([
      client.get(keys.holder),
      client.zrangebyscore(keys.readers, '(1', '+inf'),
      client.lrange(keys.queue, 0, -1),
      client.zrangebyscore(keys.waiters, '(1', '+inf'),
      client.zrangebyscore(keys.waitingReaders, '(1', '+inf'),
      ...all.map((key) => client.pttl(key)),
    ]);
    const alive = (list: readonly { owner: string; alive: boolean }[]) =>
      list.filter((waiting) => waiting.alive).map((waiting) => waiting.owner);
    expect(writer ?? undefined).toBe(model.writer);
    expect(readers.sort()).toEqual([...model.readers].sort());
    expect(queue.filter((owner) => waiters.includes(owner))).toEqual(alive(model.queue));
    expect(waitingReaders.sort()).toEqual(alive(model.waitingReaders).sort());
    expect(writer === null || readers.length === 0).toBe(true);
    expect(ttls).not.toContain(-1);
  }
}

describeOn(standalone)('the scripts of a read/write lock', (redis) => {
  it(
    'do what the model does: one writer or readers, writers first and in their order, nothing without an expiry',
    async () => {
      await tryOut(
        redis,
        fc.array(act, { minLength: 10, maxLength: 80, size: 'max' }),
        async (bench, subject, acts) => {
          const trial = new Trial(bench, bench.runtime.readWriteKeysOf(subject));
          let pushed = 0;
          for (const one of acts) pushed += await trial.run(one);
          return pushed;
        },
      );
    },
    trialsTimeoutMs,
  );
});
