import { randomUUID } from 'node:crypto';
import { RedisUnavailableError, type Key, type RedisConnection } from '@redstart/redis-core';
import { combine, type LimitDecision, type RateLimitDecision, type RateLimitReceipt } from '../decision.js';
import { limitKeys } from '../keys.js';
import { LocalLimiter } from '../local/local-limiter.js';
import type { Outcome, Verdict } from '../scripts/decide.js';
import type { DenialCache } from '../denials/denial-cache.js';
import { callOf } from './call-of.js';
import { DecisionBatch } from './decision-batch.js';
import { PlanBook, type Plan, type PlannedLimit, type PolicyCharge } from './plan.js';

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

/** The decisions of one call, one per charge; unless all of them are allowed, nothing was charged. */
export interface Decided {
  readonly decisions: readonly RateLimitDecision[];
  readonly allowed: boolean;
  /** Whether it was told from memory, without asking Redis. */
  readonly remembered: boolean;
  /** Under the id of the call. */
  readonly slots: readonly TakenSlot[];
}

export interface DeciderOptions {
  readonly budgetMs: number;
  readonly localKeys: number;
}

/**
 * Decides calls: by the script, and while Redis does not answer by what each policy says to that.
 *
 * An outage is not reported here: the connection traces every failed call on the `redstart:operation` channel, and the decision says who made it.
 */
export class Decider {
  readonly local: LocalLimiter;
  readonly #connection: RedisConnection;
  readonly #budgetMs: number;
  readonly #denials: DenialCache;
  readonly #plans = new PlanBook();
  readonly #consuming: DecisionBatch;
  readonly #peeking: DecisionBatch;

  constructor(connection: RedisConnection, { budgetMs, localKeys }: DeciderOptions, denials: DenialCache) {
    this.#connection = connection;
    this.#denials = denials;
    this.#budgetMs = budgetMs;
    this.local = new LocalLimiter(localKeys, connection.clock);
    this.#consuming = new DecisionBatch(connection, callOf('consume', budgetMs));
    this.#peeking = new DecisionBatch(connection, callOf('peek', budgetMs));
  }

  /**
   * Decides one call: all charges, or none.
   *
   * @param charges of subjects in one slot
   * @param id of the slots that the call takes
   * @returns at once what is remembered: whoever knocks all the time should not even cost a promise
   */
  decide(charges: readonly SubjectCharge[], take: boolean, id?: string): Decided | Promise<Decided> {
    const plan = this.#plans.planOf(charges, take);
    const keys = this.#keysOf(charges);
    const denial = take ? this.#denials.find(plan, keys) : undefined;
    if (denial !== undefined) return decidedOf(charges, plan, keys, denial, byRedis, true);
    return this.#decide(charges, plan, keys, id);
  }

  async #decide(
    charges: readonly SubjectCharge[],
    plan: Plan,
    keys: readonly string[],
    id: string | undefined,
  ): Promise<Decided> {
    try {
      const { generation } = this.#denials;
      const askedAtMs = this.#connection.clock.now();
      const outcome = await this.#ask(plan, keys, charges, id);
      if (plan.take) this.#denials.remember(plan, keys, outcome, askedAtMs, generation);
      return decidedOf(charges, plan, keys, outcome, byRedis);
    } catch (error) {
      if (!(error instanceof RedisUnavailableError)) throw error;
      if (charges.some(({ policy }) => policy.onError === 'closed')) throw error;
      return this.#withoutRedis(charges, plan, keys, id);
    }
  }

  #keysOf(charges: readonly SubjectCharge[]): string[] {
    const keys: string[] = [];
    for (const { policy, subject } of charges) {
      const { state } = limitKeys(this.#connection.keys, subject);
      for (const limit of policy.limits) keys.push(state(limit));
    }
    return keys;
  }

  #ask(plan: Plan, keys: readonly string[], charges: readonly SubjectCharge[], id?: string): Promise<Outcome> {
    if (!plan.exact) {
      const batch = plan.take ? this.#consuming : this.#peeking;
      return batch.ask(plan, keys, plan.named ? (id ?? '') : undefined);
    }
    return this.#askUntilAnswered(plan, keys, charges, id ?? randomUUID());
  }

  /** The script knows the call by its id, so one whose reply was lost with the connection is simply made again, until the budget ends. */
  async #askUntilAnswered(
    plan: Plan,
    keys: readonly string[],
    [first]: readonly SubjectCharge[],
    id: string,
  ): Promise<Outcome> {
    if (first === undefined) throw new TypeError('A call has a charge.');
    const memory = limitKeys(this.#connection.keys, first.subject).memory(id);
    const { clock } = this.#connection;
    const untilMs = clock.now() + this.#budgetMs;
    let lost: RedisUnavailableError | undefined;
    for (;;) {
      try {
        const batch = new DecisionBatch(this.#connection, callOf('consume', untilMs - clock.now()));
        return await batch.ask(plan, [...keys, memory], id);
      } catch (error) {
        if (error instanceof RedisUnavailableError && error.outcome === 'unknown') lost = error;
        // What has been lost once may have been charged, whatever becomes of the next try.
        if (error !== lost || clock.now() >= untilMs) throw lost ?? error;
      }
    }
  }

  #withoutRedis(charges: readonly SubjectCharge[], plan: Plan, keys: readonly string[], id?: string): Decided {
    const locally = plan.limits.flatMap(({ policy, limit, cost }, index) => {
      const { enforce, blockMs, onError } = policy;
      return onError === 'local' ? [{ index, charge: { key: keys[index] ?? '', limit, cost, enforce, blockMs } }] : [];
    });
    const outcome = this.local.decide(
      locally.map(({ charge }) => charge),
      plan.take,
      id,
    );
    const verdicts = plan.limits.map(({ limit }, index): Verdict => {
      const place = locally.findIndex((local) => local.index === index);
      return outcome.verdicts[place] ?? unlimited(limit.limit);
    });
    return decidedOf(charges, plan, keys, { atUs: outcome.atUs, verdicts }, (limit) =>
      limit.policy.onError === 'local' ? 'local' : 'open',
    );
  }
}

function unlimited(limit: number): Verdict {
  return { allowed: true, blocked: false, remaining: limit, retryUs: 0, resetUs: 0, mark: 0 };
}

/** One limit of a call, its key and what was said of it. */
interface Row {
  readonly planned: PlannedLimit;
  readonly key: string;
  readonly verdict: Verdict;
}

type DecidedBy = (limit: PlannedLimit) => RateLimitDecision['decidedBy'];

const byRedis: DecidedBy = () => 'redis';
const noSlots: readonly TakenSlot[] = Object.freeze([]);

/** Runs for every call, so it goes by loops instead of lists of lists. */
function decidedOf(
  charges: readonly SubjectCharge[],
  plan: Plan,
  keys: readonly string[],
  { atUs, verdicts }: Outcome,
  decidedBy: DecidedBy,
  remembered = false,
): Decided {
  const rows: Row[] = [];
  let allowed = true;
  for (const [index, planned] of plan.limits.entries()) {
    const verdict = verdicts[index];
    if (verdict === undefined) continue;
    rows.push({ planned, key: keys[index] ?? '', verdict });
    if (!verdict.allowed && planned.policy.enforce) allowed = false;
  }
  const charged = plan.take && allowed;
  const decisions: RateLimitDecision[] = [];
  let next = 0;
  for (const charge of charges) {
    const { policy, cost } = charge;
    const own = charges.length === 1 ? rows : rows.slice(next, (next += policy.limits.length));
    const by = own[0] === undefined ? 'open' : decidedBy(own[0].planned);
    const receipt = charged && cost > 0 && by !== 'open' ? receiptOf(charge, by, atUs, own) : undefined;
    decisions.push(combine(policy, own.map(limitDecisionOf), by, receipt));
  }
  // A call without an id takes no slots.
  const slots = charged && plan.named ? rows.flatMap((row) => slotOf(row, decidedBy(row.planned))) : noSlots;
  return { decisions, allowed, remembered, slots };
}

/** An open policy has admitted the call without a slot. */
function slotOf({ planned: { limit }, key, verdict }: Row, by: RateLimitDecision['decidedBy']): TakenSlot[] {
  if (limit.kind !== 'concurrency' || !verdict.allowed || by === 'open') return [];
  return [{ key, leaseMs: limit.leaseMs, countedBy: by }];
}

function limitDecisionOf({ planned: { compiled, limit }, verdict }: Row): LimitDecision {
  return Object.freeze({
    name: compiled.name,
    kind: limit.kind,
    allowed: verdict.allowed,
    blocked: verdict.blocked,
    limit: limit.limit,
    windowMs: limit.windowMs,
    remaining: verdict.remaining,
    retryAfterMs: Math.ceil(verdict.retryUs / 1_000),
    resetAfterMs: Math.ceil(verdict.resetUs / 1_000),
  });
}

/** What a shadow limit did not admit was not charged, and a slot is given back by its holder. */
function receiptOf(
  { policy, subject, cost }: SubjectCharge,
  countedBy: RateLimitReceipt['countedBy'],
  atUs: number,
  rows: readonly Row[],
): RateLimitReceipt {
  const charges: RateLimitReceipt['charges'][number][] = [];
  for (const { planned, key, verdict } of rows) {
    if (!verdict.allowed || isSlot(planned)) continue;
    charges.push(Object.freeze({ key, part: planned.compiled.part, mark: verdict.mark }));
  }
  return Object.freeze({
    policy: policy.name,
    key: plainKey(subject),
    cost,
    countedBy,
    atUs,
    charges: Object.freeze(charges),
  });
}

/** The same key without a bigint, which JSON can't hold. */
function plainKey(key: Key): Key {
  if (typeof key === 'object') return key.map((part) => (typeof part === 'bigint' ? part.toString() : part));
  return typeof key === 'bigint' ? key.toString() : key;
}

function isSlot({ limit }: PlannedLimit): boolean {
  return limit.kind === 'concurrency';
}
