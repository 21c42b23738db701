import type { ScriptArgument } from '@redstart/redis-core';
import type { Algorithm } from '../algorithms/algorithm.js';
import { algorithmOf, type Limit } from '../algorithms/algorithms.js';
import type { CompiledLimit, CompiledPolicy } from '../policies/policy.js';

/** A policy and what a call takes from it. */
export interface PolicyCharge {
  readonly policy: CompiledPolicy;
  /** An integer from 0 to 2^31. */
  readonly cost: number;
}

/** One limit of a plan. */
export interface PlannedLimit {
  readonly policy: CompiledPolicy;
  readonly compiled: CompiledLimit;
  readonly limit: Limit;
  readonly cost: number;
}

/** What a call wants, but not of whom: the limits of its policies with their costs, ready to be sent. Calls with one plan on one key can be merged. */
export interface Plan {
  readonly id: number;
  readonly limits: readonly PlannedLimit[];
  readonly take: boolean;
  /** Whether each call has an id: it takes a slot, or has to be charged exactly once. */
  readonly named: boolean;
  /** Whether the script remembers its answer, so that the call may be asked again. */
  readonly exact: boolean;
  readonly kinds: readonly Algorithm<never>[];
  readonly args: readonly ScriptArgument[];
}

/** How long the script remembers the answer to an `exact` call: longer than any caller goes on asking. */
export const rememberedMs = 60_000;

/** Beyond, all plans are forgotten and made anew: costs are the caller's to choose. */
const mostPlans = 1_000;

/** Makes each plan once. */
export class PlanBook {
  readonly #plans = new Map<string, Plan>();
  /** Of one unit of one policy, which most calls take: found without a name. */
  #ones = new WeakMap<CompiledPolicy, Plan>();
  #made = 0;

  /** @param take `false`: only look */
  planOf(charges: readonly PolicyCharge[], take: boolean): Plan {
    const [charge] = charges;
    if (charge?.cost !== 1 || charges.length > 1 || !take) return this.#named(charges, take);
    const known = this.#ones.get(charge.policy);
    if (known !== undefined) return known;
    const plan = this.#named(charges, take);
    this.#ones.set(charge.policy, plan);
    return plan;
  }

  #named(charges: readonly PolicyCharge[], take: boolean): Plan {
    let name = take ? 'take' : 'look';
    for (const { policy, cost } of charges) name += ` ${policy.id}*${cost}`;
    const known = this.#plans.get(name);
    if (known !== undefined) return known;
    if (this.#plans.size >= mostPlans) {
      this.#plans.clear();
      this.#ones = new WeakMap();
    }
    const plan = planOf(++this.#made, charges, take);
    this.#plans.set(name, plan);
    return plan;
  }
}

function planOf(id: number, charges: readonly PolicyCharge[], take: boolean): Plan {
  const limits = charges.flatMap(({ policy, cost }) =>
    policy.limits.map((compiled) => ({ policy, compiled, limit: compiled.limit, cost: costAt(compiled.limit, cost) })),
  );
  const exact = take && charges.some(({ policy }) => policy.exact);
  const named = exact || limits.some(({ limit }) => limit.kind === 'concurrency');
  const head = [take ? 1 : 0, named ? 1 : 0, exact ? rememberedMs : 0, limits.length];
  return Object.freeze({
    id,
    limits,
    take,
    named,
    exact,
    kinds: [...new Set(limits.map(({ limit }) => algorithmOf(limit)))],
    args: [...head, ...limits.flatMap(argumentsOf)],
  });
}

/** Whatever a call costs, it takes one slot: there is no call that would not be under way. */
function costAt({ kind }: Limit, cost: number): number {
  return kind === 'concurrency' ? 1 : cost;
}

function argumentsOf({ policy, limit, cost }: PlannedLimit): ScriptArgument[] {
  const algorithm = algorithmOf(limit);
  const { enforce, blockMs } = policy;
  return [algorithm.id, cost, enforce ? 1 : 0, blockMs * 1_000, ...algorithm.parameters(limit)];
}
