import { encodeSubject } from '@redstart/redis-core';
import type { RateLimitDecision } from '../decision.js';
import type { ReferencedCheck } from '../ratelimit.service.js';
import type { CallOutcome } from './call-end.js';

/** A decision, and whom it is about. */
export interface Counted {
  readonly subject: string;
  readonly cost: number;
  readonly decision: RateLimitDecision;
}

/** A check of a call, and when its charge is given back. */
export interface CallCheck extends ReferencedCheck {
  readonly refundOn: ((outcome: CallOutcome) => boolean) | undefined;
}

/** Charges checks, all or none, and tells the decisions in their order, up to the first denial. */
type Decide = (due: readonly CallCheck[]) => Promise<readonly RateLimitDecision[]>;

/**
 * What one call has been counted for.
 *
 * Whoever comes later in the same call (another resolver of the operation, another guard) pays only what nobody has paid yet: a policy
 * that counts by the same key is taken once, at the highest of the costs. A denial stands for the rest of the call. One at a time, so that two resolvers that
 * run at once don't both pay.
 */
export class CallLedger {
  readonly #counted = new Map<string, Counted>();
  #turn: Promise<unknown> = Promise.resolve();

  /**
   * @param decide charges what is due: all of it, or none
   * @returns all that was decided for the call so far: it may go on when all of that allows it
   */
  charge(checks: readonly CallCheck[], decide: Decide): Promise<readonly Counted[]> {
    const settled = this.#turn.then(() => this.#charge(checks, decide));
    this.#turn = settled.catch(() => undefined); // Told to whoever asked for it.
    return settled;
  }

  async #charge(checks: readonly CallCheck[], decide: Decide): Promise<readonly Counted[]> {
    const wanted = bySubject(checks);
    const denials = wanted.flatMap(({ id }) => this.#counted.get(id) ?? []).filter(({ decision }) => !decision.allowed);
    if (denials.length > 0) return denials;

    const due = wanted.flatMap((one) => {
      const paid = this.#counted.get(one.id)?.cost;
      if (paid !== undefined && paid >= one.check.cost) return [];
      return [{ ...one, rest: { ...one.check, cost: one.check.cost - (paid ?? 0) } }];
    });
    if (due.length === 0) return [...this.#counted.values()];
    const decisions = await decide(due.map(({ rest }) => rest));
    const counted = new Map(this.#counted);
    for (const [{ id, subject, check }, decision] of pairUp(due, decisions)) {
      counted.set(id, { subject, cost: check.cost, decision });
    }
    const denied = decisions.some(({ allowed }) => !allowed);
    for (const { id } of due) {
      const entry = counted.get(id);
      // What would have been allowed beside a denial was not charged, and may be asked for again.
      if (entry !== undefined && (!denied || !entry.decision.allowed)) this.#counted.set(id, entry);
    }
    return [...counted.values()];
  }
}

/**
 * Which decision is about which check. On a Cluster what lives together is decided together, so that they may come in another order; each names its policy.
 */
export function pairUp<T extends { readonly check: ReferencedCheck }>(
  checks: readonly T[],
  decisions: readonly RateLimitDecision[],
): [T, RateLimitDecision][] {
  const left = [...decisions];
  return checks.flatMap((one): [T, RateLimitDecision][] => {
    const index = left.findIndex(({ policy }) => policy === one.check.policy.name);
    const [decision] = index < 0 ? [] : left.splice(index, 1);
    return decision === undefined ? [] : [[one, decision]];
  });
}

/** The ledgers of calls, for as long as those last. */
export class CallLedgers {
  readonly #outer = new WeakMap<object, CallLedger>();
  readonly #inner = new WeakMap<object, WeakMap<object, CallLedger>>();

  of([outer, inner]: readonly [outer: object, inner?: object]): CallLedger {
    if (inner === undefined) return ledgerIn(this.#outer, outer);
    const ledgers = this.#inner.get(outer) ?? new WeakMap<object, CallLedger>();
    this.#inner.set(outer, ledgers);
    return ledgerIn(ledgers, inner);
  }
}

function ledgerIn(ledgers: WeakMap<object, CallLedger>, scope: object): CallLedger {
  const ledger = ledgers.get(scope) ?? new CallLedger();
  ledgers.set(scope, ledger);
  return ledger;
}

/** A check under what makes it the same as another: its subject and policy. */
interface Wanted {
  readonly id: string;
  readonly subject: string;
  readonly check: CallCheck;
}

/** Brings checks of one subject together, so that one script decides them, and each policy of a subject down to one: the dearest. */
function bySubject(checks: readonly CallCheck[]): Wanted[] {
  const subjects = new Map<string, Map<string, Wanted>>();
  for (const check of checks) {
    const subject = encodeSubject(check.key);
    const policies = subjects.get(subject) ?? new Map<string, Wanted>();
    subjects.set(subject, policies);
    const { name } = check.policy;
    const other = policies.get(name);
    if (other === undefined || other.check.cost < check.cost) {
      policies.set(name, { id: `${name} ${subject}`, subject, check });
    }
  }
  return [...subjects.values()].flatMap((policies) => [...policies.values()]);
}
