import { systemClock } from '@redstart/redis-core';
import type { RateLimitDecision } from '../decision.js';
import type { ReferencedCheck } from '../deciding/charges.js';
import type { RefundRule } from './call-end.js';
import { PerCall } from './per-call.js';

/** A decision, and whom it is about. */
export interface Counted {
  readonly subject: string;
  readonly cost: number;
  readonly decision: RateLimitDecision;
}

/** A check of a call, and when its charge is given back. */
export interface CallCheck extends ReferencedCheck {
  /** The key as text. */
  readonly subject: string;
  readonly refundOn: RefundRule | undefined;
}

/** In the places of the checks that were asked; `undefined` for what a denial has made needless to ask. */
type Decisions = readonly (RateLimitDecision | undefined)[];

/**
 * Charges checks, all or none.
 * @param spentMs how long the call has waited for decisions so far: all of them share one budget
 */
type Decide = (due: readonly CallCheck[], spentMs: number) => Decisions | Promise<Decisions>;

/**
 * What one call has been counted for.
 *
 * Whoever comes later in the same call (another resolver of the operation, another guard) pays only what nobody has paid yet: a policy
 * that counts by the same key is taken once, at the highest of the costs. A denial stands for the rest of the call. One at a time, so that two resolvers that
 * run at once don't both pay.
 */
export class CallLedger {
  /** At most one for each id; few enough to be looked through. */
  #counted: readonly Entry[] = [];
  #turn: Promise<unknown> | undefined;
  #spentMs = 0;

  /**
   * @param decide charges what is due: all of it, or none
   * @returns all that was decided for the call so far: it may go on when all of that allows it
   */
  charge(checks: readonly CallCheck[], decide: Decide): readonly Counted[] | Promise<readonly Counted[]> {
    const settled = this.#turn === undefined ? this.#charge(checks, decide) : this.#inTurn(this.#turn, checks, decide);
    if (settled instanceof Promise) this.#turn = settled;
    return settled;
  }

  #inTurn(turn: Promise<unknown>, checks: readonly CallCheck[], decide: Decide): Promise<readonly Counted[]> {
    const next = () => this.#charge(checks, decide);
    // A failure is told to whoever asked for what has failed.
    return turn.then(next, next);
  }

  #charge(checks: readonly CallCheck[], decide: Decide): readonly Counted[] | Promise<readonly Counted[]> {
    const wanted = bySubject(checks);
    if (this.#counted.length === 0) return this.#ask(wanted, decide, checks.length === 1 ? checks : checksOf(wanted));

    const denials = wanted.flatMap(({ id }) => this.#find(id) ?? []).filter(({ decision }) => !decision.allowed);
    if (denials.length > 0) return denials;
    const due = wanted.filter(({ id, check }) => check.cost > (this.#find(id)?.cost ?? -1));
    if (due.length === 0) return this.#counted;
    return this.#ask(
      due,
      decide,
      due.map(({ id, check }) => ({ ...check, cost: check.cost - (this.#find(id)?.cost ?? 0) })),
    );
  }

  #find(id: string): Entry | undefined {
    return this.#counted.find((entry) => entry.id === id);
  }

  #ask(
    due: readonly Wanted[],
    decide: Decide,
    checks: readonly CallCheck[],
  ): readonly Counted[] | Promise<readonly Counted[]> {
    const decisions = decide(checks, this.#spentMs);
    return decisions instanceof Promise ? this.#hear(due, decisions) : this.#note(due, decisions);
  }

  #hear(due: readonly Wanted[], decisions: Promise<Decisions>): Promise<readonly Counted[]> {
    const askedAtMs = systemClock.now();
    const heard = () => {
      this.#spentMs += systemClock.now() - askedAtMs;
    };
    return decisions.then(
      (known) => {
        heard();
        return this.#note(due, known);
      },
      (error: unknown) => {
        heard();
        throw error;
      },
    );
  }

  #note(due: readonly Wanted[], decisions: Decisions): readonly Counted[] {
    const entries: Entry[] = [];
    let denied = false;
    for (const [index, { id, check }] of due.entries()) {
      const decision = decisions[index];
      if (decision === undefined) continue;
      entries.push({ id, subject: check.subject, cost: check.cost, decision });
      if (!decision.allowed) denied = true;
    }
    const before = this.#counted;
    // What would have been allowed beside a denial was not charged, and may be asked for again.
    const stays = denied ? entries.filter(({ decision }) => !decision.allowed) : entries;
    this.#counted = replaced(before, stays);
    return denied ? replaced(before, entries) : this.#counted;
  }
}

/** A list with some entries in the places of those with the same id, or at the end. */
function replaced(entries: readonly Entry[], others: readonly Entry[]): readonly Entry[] {
  if (entries.length === 0) return others;
  const ids = new Map([...entries, ...others].map((entry) => [entry.id, entry]));
  return [...ids.values()];
}

/** The ledgers of calls, for as long as those last. */
export class CallLedgers {
  readonly #outer = new PerCall<CallLedger>();
  readonly #inner = new WeakMap<object, WeakMap<object, CallLedger>>();

  of([outer, inner]: readonly [outer: object, inner?: object]): CallLedger {
    if (inner === undefined) return this.#outer.get(outer) ?? this.#outer.set(outer, new CallLedger());
    const ledgers = this.#inner.get(outer) ?? new WeakMap<object, CallLedger>();
    this.#inner.set(outer, ledgers);
    const ledger = ledgers.get(inner) ?? new CallLedger();
    ledgers.set(inner, ledger);
    return ledger;
  }
}

/** What was counted, under what makes it the same as another. */
interface Entry extends Counted {
  readonly id: string;
}

/** A check under what makes it the same as another: its subject and policy. */
interface Wanted {
  readonly id: string;
  readonly check: CallCheck;
}

/** Brings checks of one subject together, so that one script decides them, and each policy of a subject down to one: the dearest. */
function bySubject(checks: readonly CallCheck[]): Wanted[] {
  const [first, ...others] = checks;
  if (first === undefined) return [];
  if (others.length === 0) return [wantedOf(first)];
  const subjects = new Map<string, Map<string, Wanted>>();
  for (const check of checks) {
    const policies = subjects.get(check.subject) ?? new Map<string, Wanted>();
    subjects.set(check.subject, policies);
    const { name } = check.policy;
    const other = policies.get(name);
    if (other === undefined || other.check.cost < check.cost) policies.set(name, wantedOf(check));
  }
  return [...subjects.values()].flatMap((policies) => [...policies.values()]);
}

function wantedOf(check: CallCheck): Wanted {
  return { id: `${check.policy.name} ${check.subject}`, check };
}

function checksOf(wanted: readonly Wanted[]): CallCheck[] {
  return wanted.map(({ check }) => check);
}
