import { hashSlot, RedisUnavailableError, type Cancel, type RedisConnection } from '@redstart/redis-core';
import type { RateLimitDecision, RateLimitReceipt } from '../decision.js';
import { limitKeys } from '../keys.js';
import type { CompiledPolicy } from '../policies/policy.js';
import { refuseKey } from '../policies/usable-input.js';
import type { SlotKeeper } from '../slots/slot-keeper.js';
import type { Decided, SubjectCharge, TakenSlot } from './decided.js';
import type { Conclusion, Decider } from './decider.js';

/** Gives back what a receipt says. */
export type Refund = (policy: CompiledPolicy, receipt: RateLimitReceipt) => Promise<unknown>;

export interface JointOptions {
  /** Of the slots that the call takes. */
  readonly id?: string | undefined;
  /** When the call has to be decided, on the clock of this process. @default a whole budget from now */
  readonly untilMs?: number | undefined;
  /** Whether the charges come from the widest to the most specific, so that they are to be decided from the end. */
  readonly widestFirst?: boolean;
}

const noOptions: JointOptions = Object.freeze({});

/**
 * Decides the charges of one call, whatever their subjects: all of them, or none.
 *
 * On a single server one script does it. On a Cluster charges of one slot are decided together, and the groups one after the other in the order given: most specific
 * first, so that the widest limit is only asked for what the narrow ones admit. They share one budget: what it leaves no time for is decided as without Redis. When one denies, what the ones before it have charged is given back: all or
 * none in the end, though others may see the charges for a moment, and keep them if Redis goes away in between. The decisions stand in the places of their charges, with
 * `undefined` for what was not asked any more.
 */
export class JointDecision {
  constructor(
    private readonly connection: RedisConnection,
    private readonly decider: Decider,
    private readonly keeper: SlotKeeper,
    private readonly refund: Refund,
    private readonly budgetMs: number,
  ) {}

  /** @throws RateLimitInputError for a key that is none */
  decide<T>(
    charges: readonly SubjectCharge[],
    take: boolean,
    then: Conclusion<T>,
    how: JointOptions = noOptions,
  ): T | Promise<T> {
    try {
      return this.#decide(charges, take, then, how);
    } catch (error) {
      return refuseKey(charges[0]?.policy.name ?? '', error);
    }
  }

  #decide<T>(
    charges: readonly SubjectCharge[],
    take: boolean,
    then: Conclusion<T>,
    { id, untilMs, widestFirst = false }: JointOptions,
  ): T | Promise<T> {
    if (charges.length < 2 || !this.connection.cluster) return this.decider.decide(charges, take, then, id, untilMs);
    const groups = this.#bySlot(widestFirst ? [...charges].reverse() : charges);
    if (groups.length < 2) return this.decider.decide(charges, take, then, id, untilMs);
    // Whoever keeps knocking is denied before anything is charged that would have to be given back.
    const denial = take ? this.#remembered(charges, groups) : undefined;
    if (denial !== undefined) return then.decided(denial);
    const { clock } = this.connection;
    return this.#oneByOne(charges, groups, { take, id, untilMs: untilMs ?? clock.now() + this.budgetMs }).then(
      (decided) => then.decided(decided),
      (error: unknown) => {
        then.failed(charges);
        throw error;
      },
    );
  }

  #remembered(charges: readonly SubjectCharge[], groups: readonly (readonly SubjectCharge[])[]): Decided | undefined {
    for (const group of groups) {
      const decided = this.decider.remembered(group);
      if (decided === undefined) continue;
      const decisions = new Map(group.map((charge, index) => [charge, decided.decisions[index]]));
      return { ...decided, decisions: charges.map((charge) => decisions.get(charge)) };
    }
    return undefined;
  }

  async #oneByOne(
    charges: readonly SubjectCharge[],
    groups: readonly (readonly SubjectCharge[])[],
    { take, id, untilMs }: { readonly take: boolean; readonly id: string | undefined; readonly untilMs: number },
  ): Promise<Decided> {
    const decisions = new Map<SubjectCharge, RateLimitDecision>();
    const slots: TakenSlot[] = [];
    const inPlace = () => charges.map((charge) => decisions.get(charge));
    const note = (group: readonly SubjectCharge[], decided: Decided) => {
      for (const [index, charge] of group.entries()) {
        const decision = decided.decisions[index];
        if (decision !== undefined) decisions.set(charge, decision);
      }
    };
    try {
      for (const group of groups) {
        const decided = await this.decider.decide(group, take, asDecided, id, untilMs);
        if (!decided.allowed) {
          await this.#giveBack(decisions, slots, untilMs, id);
          for (const [charge, decision] of decisions) decisions.set(charge, { ...decision, receipt: undefined });
          note(group, decided);
          return { ...decided, decisions: inPlace() };
        }
        note(group, decided);
        slots.push(...decided.slots);
      }
    } catch (error) {
      await this.#giveBack(decisions, slots, untilMs, id);
      throw error;
    }
    return { decisions: inPlace(), allowed: true, slots, remembered: false };
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

  /** An outage in the middle leaves the charges where they are: they lapse with their windows. What takes longer than the call may last goes on behind it. */
  async #giveBack(
    decisions: ReadonlyMap<SubjectCharge, RateLimitDecision>,
    slots: readonly TakenSlot[],
    untilMs: number,
    id = '',
  ): Promise<void> {
    const { clock } = this.connection;
    const refunds = [...decisions].flatMap(([{ policy }, { receipt }]) =>
      receipt === undefined ? [] : [this.refund(policy, receipt)],
    );
    const given = Promise.allSettled([...refunds, this.keeper.free(slots, id)]);
    let cancel: Cancel | undefined;
    const late = new Promise<undefined>((resolve) => {
      cancel = clock.after(Math.max(0, untilMs - clock.now()), () => {
        resolve(undefined);
      });
    });
    const outcomes = await Promise.race([given, late]);
    cancel?.();
    for (const outcome of outcomes ?? []) {
      if (outcome.status === 'rejected' && !(outcome.reason instanceof RedisUnavailableError)) throw outcome.reason;
    }
  }
}

/** A part of a call, which concludes when all of it is decided. */
const asDecided: Conclusion<Decided> = { decided: (decided) => decided, failed: () => undefined };
