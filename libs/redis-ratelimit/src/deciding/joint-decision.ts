import { hashSlot, isOutage, type RedisConnection } from '@redstart/redis-core';
import type { RateLimitDecision, RateLimitReceipt } from '../decision.js';
import { limitKeys } from '../keys.js';
import type { CompiledPolicy } from '../policies/policy.js';
import type { SlotKeeper } from '../slots/slot-keeper.js';
import type { Decided, Decider, SubjectCharge, TakenSlot } from './decider.js';

/** Gives back what a receipt says. */
export type Refund = (policy: CompiledPolicy, receipt: RateLimitReceipt) => Promise<unknown>;

/**
 * Decides the charges of one call, whatever their subjects: all of them, or none.
 *
 * On a single server one script does it. On a Cluster charges of one slot are decided together, and the groups one after the other in the order given: most specific
 * first, so that the widest limit is only asked for what the narrow ones admit. When one denies, what the ones before it have charged is given back: all or
 * none in the end, though others may see the charges for a moment, and keep them if Redis goes away in between. The decisions come in the order of the charges.
 */
export class JointDecision {
  constructor(
    private readonly connection: RedisConnection,
    private readonly decider: Decider,
    private readonly keeper: SlotKeeper,
    private readonly refund: Refund,
  ) {}

  decide(charges: readonly SubjectCharge[], take: boolean, id?: string): Decided | Promise<Decided> {
    if (charges.length < 2 || !this.connection.cluster) return this.decider.decide(charges, take, id);
    const groups = this.#bySlot(charges);
    return groups.length < 2 ? this.decider.decide(charges, take, id) : this.#oneByOne(charges, groups, take, id);
  }

  async #oneByOne(
    charges: readonly SubjectCharge[],
    groups: readonly (readonly SubjectCharge[])[],
    take: boolean,
    id?: string,
  ): Promise<Decided> {
    const decisions = new Map<SubjectCharge, RateLimitDecision>();
    const slots: TakenSlot[] = [];
    const soFar = () => charges.flatMap((charge) => decisions.get(charge) ?? []);
    const note = (group: readonly SubjectCharge[], decided: Decided) => {
      for (const [index, decision] of decided.decisions.entries()) {
        const charge = group[index];
        if (charge !== undefined) decisions.set(charge, decision);
      }
    };
    try {
      for (const group of groups) {
        const decided = await this.decider.decide(group, take, id);
        if (!decided.allowed) {
          await this.#giveBack(decisions, slots, id);
          for (const [charge, decision] of decisions) {
            decisions.set(charge, Object.freeze({ ...decision, receipt: undefined }));
          }
          note(group, decided);
          return { ...decided, decisions: soFar() };
        }
        note(group, decided);
        slots.push(...decided.slots);
      }
    } catch (error) {
      await this.#giveBack(decisions, slots, id);
      throw error;
    }
    return { decisions: soFar(), allowed: true, slots, remembered: false };
  }

  #bySlot(charges: readonly SubjectCharge[]): (readonly SubjectCharge[])[] {
    const groups = new Map<number, SubjectCharge[]>();
    for (const charge of charges) {
      const [first] = charge.policy.limits;
      if (first === undefined) throw new TypeError('A policy has a limit.');
      const slot = hashSlot(limitKeys(this.connection.keys, charge.subject).state(first));
      groups.set(slot, [...(groups.get(slot) ?? []), charge]);
    }
    return [...groups.values()];
  }

  /** An outage in the middle leaves the charges where they are: they lapse with their windows. */
  async #giveBack(
    decisions: ReadonlyMap<SubjectCharge, RateLimitDecision>,
    slots: readonly TakenSlot[],
    id = '',
  ): Promise<void> {
    const refunds = [...decisions].flatMap(([{ policy }, { receipt }]) =>
      receipt === undefined ? [] : [this.refund(policy, receipt)],
    );
    const outcomes = await Promise.allSettled([...refunds, this.keeper.free(slots, id)]);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected' && !isOutage(outcome.reason)) throw outcome.reason;
    }
  }
}
