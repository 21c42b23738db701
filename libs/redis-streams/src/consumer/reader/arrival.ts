import { firstDeliveries, type Delivery } from '../../scripts/claim.js';
import type { Source } from '../source.js';
import type { Demand } from './demand.js';
import type { PartReading } from './part-reading.js';
import type { ReadPlan } from './read-plan.js';
import type { StreamReply } from './read-size.js';
import type { ReaderContext } from './read-connection.js';
import { completeReplies, type OwnedReply } from './sole-arrival.js';

interface SourceReply extends StreamReply {
  readonly source: Source;
}

/** What one read has brought, for each of its parts: first *counted*, so that the next read can be planned, then *completed*, as far as it is of partitions, and *handed over* to their consumers. */
export class Arrival {
  /** How many entries there are. */
  readonly size: number;
  readonly #plan: ReadPlan<PartReading>;
  readonly #askedAt: number;
  readonly #given = new Map<PartReading, SourceReply[]>();
  #completed: ReadonlyMap<Source, readonly Delivery[]> = new Map();

  /** @param askedAt by the local clock, when the read was sent */
  constructor(plan: ReadPlan<PartReading>, replies: readonly StreamReply[], askedAt: number) {
    this.#plan = plan;
    this.#askedAt = askedAt;
    this.size = replies.reduce((sum, { entries }) => sum + entries.length, 0);
    if (replies.length === 0) return;
    const byKey = new Map(replies.map((reply) => [reply.key, reply]));
    for (const part of plan.parts) {
      const given = part.sources.flatMap((source) => {
        const reply = byKey.get(source.key);
        return reply === undefined ? [] : [{ ...reply, source }];
      });
      if (given.length > 0) this.#given.set(part, given);
    }
  }

  /** Whether everybody who was given something wants more. */
  get leavesDemand(): boolean {
    return [...this.#given.keys()].every(({ demand }) => demand.exists);
  }

  /** @returns among how many consumers it is divided */
  count(): number {
    const shares = new Map<Demand, StreamReply[]>();
    for (const { demand } of this.#plan.parts) shares.set(demand, []);
    for (const [{ demand }, given] of this.#given) shares.get(demand)?.push(...given);
    let sharers = 0;
    for (const [demand, share] of shares) {
      demand.arrive(share, this.#plan.count);
      if (share.length > 0) sharers += 1;
    }
    return sharers;
  }

  /** Asks Redis for what may be missing of partitions, and whether they are ours. Without that nothing of them is handed over: it stays pending. */
  async complete(context: ReaderContext, uncertain: boolean): Promise<void> {
    const owned = [...this.#given].flatMap(([part, given]) => {
      const { ownership } = part.right;
      if (ownership === undefined) return [];
      return given.map(({ source, entries }): OwnedReply => ({ part, source, ownership, entries }));
    });
    if (owned.length > 0) this.#completed = await completeReplies(context, owned, uncertain);
  }

  /**
   * Also to parts that leave: the entries were given to us, and nobody else would take them before minIdle. Except of a partition whose lease has ended: its next owner takes up what is pending.
   */
  handOver(): void {
    for (const part of this.#plan.parts) {
      part.demand.settle();
      for (const { source, entries } of this.#given.get(part) ?? []) {
        if (part.right.ownership === undefined) part.accept(source, firstDeliveries(entries), this.#askedAt);
        else part.accept(source, this.#completed.get(source) ?? [], this.#askedAt);
      }
      part.end(true);
    }
  }
}
