import { randomUUID } from 'node:crypto';
import type { RateLimitDecision } from '../decision.js';
import { HeldSlot, type Slot } from '../slots/slot.js';
import type { SlotKeeper } from '../slots/slot-keeper.js';
import type { RateLimitTelemetry } from '../telemetry/ratelimit-telemetry.js';
import type { Decided, SubjectCharge } from './decided.js';
import type { Conclusion } from './decider.js';
import type { JointDecision, JointOptions } from './joint-decision.js';

/** What became of a call that has asked for all it needs at once. */
export interface Admission {
  /** In the places of the checks; on a Cluster, a denial leaves out those that it made needless to ask about. */
  readonly decisions: readonly (RateLimitDecision | undefined)[];
  /** The first one that denies; nothing was charged then. */
  readonly denial: RateLimitDecision | undefined;
  /** The slots that the call holds; aborts when one is lost. */
  readonly slot: Slot | undefined;
}

/** Has calls decided and counts what became of them. What is remembered is told at once, without a promise. */
export class Admissions {
  readonly #joint: JointDecision;
  readonly #keeper: SlotKeeper;
  readonly #onReleased: (charges: readonly SubjectCharge[]) => void;
  readonly #all: Conclusion<Admission>;
  readonly #one: Conclusion<RateLimitDecision>;

  /** @param onReleased told when a slot of these charges is free again */
  constructor(
    joint: JointDecision,
    keeper: SlotKeeper,
    telemetry: RateLimitTelemetry,
    onReleased: (charges: readonly SubjectCharge[]) => void,
  ) {
    this.#joint = joint;
    this.#keeper = keeper;
    this.#onReleased = onReleased;
    const failed = (charges: readonly SubjectCharge[]) => {
      telemetry.failed(charges.map(({ policy }) => policy.name));
    };
    const counted = (decided: Decided) => {
      telemetry.decided(decided.decisions, decided.allowed, decided.remembered);
      return decided;
    };
    this.#all = { decided: (decided) => admissionOf(counted(decided)), failed };
    this.#one = { decided: (decided) => only(counted(decided)), failed };
  }

  /** Charges one policy, which has no slots. */
  take(charge: SubjectCharge): RateLimitDecision | Promise<RateLimitDecision> {
    return this.#joint.decide([charge], true, this.#one);
  }

  /** Charges nothing, and is neither counted nor told. */
  look(charge: SubjectCharge): RateLimitDecision | Promise<RateLimitDecision> {
    return this.#joint.decide([charge], false, looking);
  }

  /** Charges all, or none; slots are held from then on. */
  admit(charges: readonly SubjectCharge[], how: Omit<JointOptions, 'id'> = {}): Admission | Promise<Admission> {
    const first = charges.findIndex(({ policy }) => policy.hasSlots);
    return first < 0 ? this.#joint.decide(charges, true, this.#all, how) : this.#admitHolding(charges, first, how);
  }

  /** @param first the first of the charges that has slots: the one that the slot is told to be of */
  #admitHolding(charges: readonly SubjectCharge[], first: number, how: JointOptions): Admission | Promise<Admission> {
    const id = randomUUID();
    const sentAtMs = this.#keeper.clock.now();
    const onReleased = () => {
      this.#onReleased(charges);
    };
    const decided = (all: Decided): Admission => {
      const admission = this.#all.decided(all);
      const decision = all.decisions[first];
      if (!all.allowed || decision === undefined) return admission;
      const { slots } = all;
      return { ...admission, slot: new HeldSlot(this.#keeper, { decision, slots, id, sentAtMs, onReleased }) };
    };
    return this.#joint.decide(charges, true, { ...this.#all, decided }, { ...how, id });
  }
}

/** A call that takes no slot. */
function admissionOf({ allowed, decisions }: Decided): Admission {
  const denial = allowed ? undefined : decisions.find((decision) => decision?.allowed === false);
  return { decisions, denial, slot: undefined };
}

function only({ decisions: [decision] }: Decided): RateLimitDecision {
  if (decision === undefined) throw new TypeError('A charge has a decision.');
  return decision;
}

const looking: Conclusion<RateLimitDecision> = { decided: only, failed: () => undefined };
