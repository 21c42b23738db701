import { randomUUID } from 'node:crypto';
import { RedisUnavailableError, withinBudget, type RedisConnection } from '@redstart/redis-core';
import { limitKeys } from '../keys.js';
import { LocalLimiter } from '../local/local-limiter.js';
import type { Outcome, Verdict } from '../scripts/decide.js';
import type { DenialCache } from '../denials/denial-cache.js';
import type { StraySlots } from '../slots/stray-slots.js';
import { callOf } from './call-of.js';
import { byRedis, decidedOf, type Decided, type SubjectCharge } from './decided.js';
import { DecisionBatch, type Asker } from './decision-batch.js';
import { PlanBook, type Plan } from './plan.js';

/** What is made of a decision right where it arrives: each layer that awaited it would cost as much as the layer itself. */
export interface Conclusion<T> {
  decided(decided: Decided): T;
  /** Told of a failure before the promise rejects with it. */
  failed(charges: readonly SubjectCharge[]): void;
}

/** What a call asks for. */
interface Question {
  readonly charges: readonly SubjectCharge[];
  readonly plan: Plan;
  /** One per limit of the plan. */
  readonly keys: readonly string[];
  readonly id: string | undefined;
  /** When it has to be decided at the latest, on the clock of this process, where that is earlier than its own budget ends. */
  readonly untilMs: number | undefined;
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
  readonly #strays: StraySlots;
  readonly #plans = new PlanBook();
  readonly #consuming: DecisionBatch;
  readonly #peeking: DecisionBatch;

  constructor(
    connection: RedisConnection,
    { budgetMs, localKeys }: DeciderOptions,
    denials: DenialCache,
    strays: StraySlots,
  ) {
    this.#connection = connection;
    this.#denials = denials;
    this.#strays = strays;
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
   * @param untilMs when the budget ends of which it is a part, on the clock of this process. @default it has one of its own
   * @returns at once what is remembered: whoever knocks all the time should not even cost a promise
   */
  decide<T>(
    charges: readonly SubjectCharge[],
    take: boolean,
    then: Conclusion<T>,
    id?: string,
    untilMs?: number,
  ): T | Promise<T> {
    const plan = this.#plans.planOf(charges, take);
    const known = take ? this.#remembered(charges, plan) : undefined;
    if (known !== undefined) return then.decided(known);
    const keys = this.#keysOf(charges);
    const question: Question = { charges, plan, keys, id, untilMs };
    const generation = this.#denials.generation;
    return new Promise((resolve, reject) => {
      this.#ask(question, new PendingDecision(this, question, this.#now(), generation, then, resolve, reject));
    });
  }

  /** The denial that stands against a call, if one is remembered. */
  remembered(charges: readonly SubjectCharge[]): Decided | undefined {
    return this.#remembered(charges, this.#plans.planOf(charges, true));
  }

  #remembered(charges: readonly SubjectCharge[], plan: Plan): Decided | undefined {
    const denial = this.#denials.find(plan, charges);
    return denial === undefined ? undefined : decidedOf(charges, plan, noKeys, denial, byRedis, true);
  }

  /** @internal Redis has answered: a denial is remembered. */
  conclude({ charges, plan, keys }: Question, outcome: Outcome, askedAtMs: number, generation: number): Decided {
    if (plan.take) this.#denials.remember(plan, charges, keys, outcome, askedAtMs, generation);
    return decidedOf(charges, plan, keys, outcome, byRedis);
  }

  /** @internal Redis may have given the call a slot all the same, which nobody will hold. */
  reclaim({ plan, keys, id }: Question, error: unknown): void {
    if (id === undefined || !(error instanceof RedisUnavailableError) || error.outcome !== 'unknown') return;
    this.#strays.add(
      keys.filter((_, index) => plan.limits[index]?.limit.kind === 'concurrency'),
      id,
    );
  }

  #now(): number {
    return this.#connection.clock.now();
  }

  #keysOf(charges: readonly SubjectCharge[]): string[] {
    const keys: string[] = [];
    for (const { policy, subject } of charges) {
      const { state } = limitKeys(this.#connection.keys, subject);
      for (const limit of policy.limits) keys.push(state(limit));
    }
    return keys;
  }

  #ask(question: Question, asker: Asker): void {
    const { plan, id, untilMs } = question;
    if (!plan.exact && untilMs === undefined) {
      this.#askBatch(question, asker);
      return;
    }
    const ownUntilMs = Math.min(untilMs ?? Infinity, this.#now() + this.#budgetMs);
    const asked = plan.exact
      ? this.#askUntilAnswered(question, id ?? randomUUID(), ownUntilMs)
      : this.#askWithin(question, ownUntilMs - this.#now());
    asked.then(
      (outcome) => {
        asker.told(outcome);
      },
      (error: unknown) => {
        asker.failed(error);
      },
    );
  }

  #askBatch({ plan, keys, id }: Question, asker: Asker): void {
    const batch = plan.take ? this.#consuming : this.#peeking;
    batch.ask(plan, keys, asker, plan.named ? (id ?? '') : undefined);
  }

  /** Calls of one batch have its budget; this one has less left. */
  #askWithin(question: Question, leftMs: number): Promise<Outcome> {
    const late = (outcome: RedisUnavailableError['outcome']) =>
      new RedisUnavailableError('ratelimit.consume: the budget of the call has been used up.', outcome);
    if (leftMs <= 0) return Promise.reject(late('not-executed'));
    const asked = new Promise<Outcome>((told, failed) => {
      this.#askBatch(question, { told, failed });
    });
    return withinBudget(asked, leftMs, () => late('unknown'));
  }

  /** The script knows the call by its id, so one whose reply was lost with the connection is simply made again, until the budget ends. */
  async #askUntilAnswered({ charges, plan, keys }: Question, id: string, untilMs: number): Promise<Outcome> {
    const [first] = charges;
    if (first === undefined) throw new TypeError('A call has a charge.');
    const memory = limitKeys(this.#connection.keys, first.subject).memory(id);
    const { clock } = this.#connection;
    let lost: RedisUnavailableError | undefined;
    for (;;) {
      try {
        const batch = new DecisionBatch(this.#connection, callOf('consume', untilMs - clock.now()));
        return await new Promise<Outcome>((told, failed) => {
          batch.ask(plan, [...keys, memory], { told, failed }, id);
        });
      } catch (error) {
        if (error instanceof RedisUnavailableError && error.outcome === 'unknown') lost = error;
        // What has been lost once may have been charged, whatever becomes of the next try.
        if (error !== lost || clock.now() >= untilMs) throw lost ?? error;
      }
    }
  }

  /** @internal Redis is away, and no policy is closed. */
  withoutRedis({ charges, plan, keys, id }: Question): Decided {
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

/** A denial has charged nothing that would have to be found again. */
const noKeys: readonly string[] = Object.freeze([]);

function unlimited(limit: number): Verdict {
  return { allowed: true, blocked: false, remaining: limit, retryUs: 0, resetUs: 0, mark: 0 };
}

/** A call that Redis has been asked about, until its batch comes back. */
class PendingDecision<T> implements Asker {
  constructor(
    private readonly decider: Decider,
    private readonly question: Question,
    private readonly askedAtMs: number,
    private readonly generation: number,
    private readonly then: Conclusion<T>,
    private readonly resolve: (result: T) => void,
    private readonly reject: (error: unknown) => void,
  ) {}

  told(outcome: Outcome): void {
    try {
      const decided = this.decider.conclude(this.question, outcome, this.askedAtMs, this.generation);
      this.resolve(this.then.decided(decided));
    } catch (error) {
      this.reject(error);
    }
  }

  failed(error: unknown): void {
    const { charges } = this.question;
    this.decider.reclaim(this.question, error);
    try {
      if (!(error instanceof RedisUnavailableError) || charges.some(({ policy }) => policy.onError === 'closed')) {
        throw error;
      }
      this.resolve(this.then.decided(this.decider.withoutRedis(this.question)));
    } catch (failure) {
      this.then.failed(charges);
      this.reject(failure);
    }
  }
}
