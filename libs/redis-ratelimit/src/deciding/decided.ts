import type { Key } from '@redstart/redis-core';
import { combine, type LimitDecision, type RateLimitDecision, type RateLimitReceipt } from '../decision.js';
import type { Outcome, Verdict } from '../scripts/decide.js';
import type { Plan, PlannedLimit, PolicyCharge } from './plan.js';

/** What a call takes of one policy for one subject. */
export interface SubjectCharge extends PolicyCharge {
  readonly subject: Key;
}

/** A slot that a call has taken. */
export interface TakenSlot {
  readonly key: string;
  readonly leaseMs: number;
  readonly countedBy: 'redis' | 'local';
}

/** What was decided of one call; unless all of it is allowed, nothing was charged. */
export interface Decided {
  /** In the places of the charges. On a Cluster a denial leaves out the charges that it made needless to ask about. */
  readonly decisions: readonly (RateLimitDecision | undefined)[];
  readonly allowed: boolean;
  /** Whether it was told from memory, without asking Redis. */
  readonly remembered: boolean;
  /** Under the id of the call. */
  readonly slots: readonly TakenSlot[];
}

export type DecidedBy = (limit: PlannedLimit) => RateLimitDecision['decidedBy'];

export const byRedis: DecidedBy = () => 'redis';
const noSlots: readonly TakenSlot[] = Object.freeze([]);

/**
 * What the verdicts on the limits of a plan come to. Runs for every call, so it goes by loops instead of lists of lists.
 *
 * @param keys one per limit, like the verdicts
 */
export function decidedOf(
  charges: readonly SubjectCharge[],
  plan: Plan,
  keys: readonly string[],
  outcome: Outcome,
  decidedBy: DecidedBy,
  remembered = false,
): Decided {
  const allowed = isAllowed(plan, outcome);
  const charged = plan.take && allowed;
  const decisions: RateLimitDecision[] = [];
  let from = 0;
  for (const charge of charges) {
    const to = from + charge.policy.limits.length;
    decisions.push(decisionOf(charge, { plan, keys, outcome, from, to, charged }, decidedBy));
    from = to;
  }
  // A call without an id takes no slots.
  const slots = charged && plan.named ? slotsOf(plan, keys, outcome, decidedBy) : noSlots;
  return { decisions, allowed, remembered, slots };
}

function isAllowed({ limits }: Plan, { verdicts }: Outcome): boolean {
  for (let index = 0; index < limits.length; index++) {
    if (verdicts[index]?.allowed === false && limits[index]?.policy.enforce === true) return false;
  }
  return true;
}

/** The limits of one charge among those of its plan. */
interface Share {
  readonly plan: Plan;
  readonly keys: readonly string[];
  readonly outcome: Outcome;
  readonly from: number;
  readonly to: number;
  readonly charged: boolean;
}

function decisionOf(charge: SubjectCharge, share: Share, decidedBy: DecidedBy): RateLimitDecision {
  const { plan, outcome, from, to, charged } = share;
  const rows: LimitDecision[] = [];
  for (let index = from; index < to; index++) {
    const planned = plan.limits[index];
    const verdict = outcome.verdicts[index];
    if (planned !== undefined && verdict !== undefined) rows.push(limitDecisionOf(planned, verdict));
  }
  const first = plan.limits[from];
  const by = first === undefined ? 'open' : decidedBy(first);
  const receipt = charged && charge.cost > 0 && by !== 'open' ? receiptOf(charge, by, share) : undefined;
  return combine(charge.policy, rows, by, receipt);
}

/** Of an open policy none: it has admitted the call without a slot. */
function slotsOf(plan: Plan, keys: readonly string[], { verdicts }: Outcome, decidedBy: DecidedBy): TakenSlot[] {
  return plan.limits.flatMap((planned, index) => {
    const { limit } = planned;
    const by = decidedBy(planned);
    if (limit.kind !== 'concurrency' || verdicts[index]?.allowed !== true || by === 'open') return [];
    return [{ key: keys[index] ?? '', leaseMs: limit.leaseMs, countedBy: by }];
  });
}

function limitDecisionOf({ compiled, limit }: PlannedLimit, verdict: Verdict): LimitDecision {
  return {
    name: compiled.name,
    kind: limit.kind,
    allowed: verdict.allowed,
    blocked: verdict.blocked,
    limit: limit.limit,
    windowMs: limit.windowMs,
    remaining: verdict.remaining,
    retryAfterMs: Math.ceil(verdict.retryUs / 1_000),
    resetAfterMs: Math.ceil(verdict.resetUs / 1_000),
  };
}

/** What a shadow limit did not admit was not charged, and a slot is given back by its holder. */
function receiptOf(
  { policy, subject, cost }: SubjectCharge,
  countedBy: RateLimitReceipt['countedBy'],
  { plan, keys, outcome: { atUs, verdicts }, from, to }: Share,
): RateLimitReceipt {
  const charges: RateLimitReceipt['charges'][number][] = [];
  for (let index = from; index < to; index++) {
    const planned = plan.limits[index];
    const verdict = verdicts[index];
    if (planned === undefined || verdict?.allowed !== true || planned.limit.kind === 'concurrency') continue;
    charges.push({ key: keys[index] ?? '', part: planned.compiled.part, mark: verdict.mark });
  }
  return { policy: policy.name, key: plainKey(subject), cost, countedBy, atUs, charges };
}

/** The same key without a bigint, which JSON can't hold. */
function plainKey(key: Key): Key {
  if (typeof key === 'object') return key.map((part) => (typeof part === 'bigint' ? part.toString() : part));
  return typeof key === 'bigint' ? key.toString() : key;
}
