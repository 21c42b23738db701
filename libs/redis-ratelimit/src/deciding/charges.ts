import { encodeSubject, OptionsError, type Key } from '@redstart/redis-core';
import type { PolicyBook, PolicyReference } from '../policies/policy-book.js';
import { checkCost, withKey } from '../policies/usable-input.js';
import type { Refreshes } from '../policies/refreshes.js';
import type { RateLimitContext } from '../requests/context.js';
import type { SubjectCharge } from './decided.js';

/** What a decorated call is checked for: its policy may stand at the decorator. */
export interface ReferencedCheck {
  readonly policy: PolicyReference;
  readonly key: Key;
  readonly cost: number;
  /** What a dynamic policy of a decorated handler may look at. */
  readonly context?: RateLimitContext | undefined;
}

/** Finds out what calls take of which limits. Only a dynamic policy has to be waited for. */
export class Charges {
  constructor(
    private readonly policies: PolicyBook,
    private readonly refreshes: Refreshes,
  ) {}

  /** @throws UnknownPolicyError · RateLimitInputError for a wrong cost · what a dynamic policy throws */
  of(
    policy: string,
    subject: Key,
    { cost = 1 }: { readonly cost?: number | undefined },
    context?: RateLimitContext,
  ): SubjectCharge | Promise<SubjectCharge> {
    const found = this.policies.policyFor(policy, subject, context);
    if (!(found instanceof Promise)) return { policy: found, subject, cost: checkCost(policy, cost) };
    this.refreshes.listen();
    return found.then((known) => ({ policy: known, subject, cost: checkCost(policy, cost) }));
  }

  /** @throws as {@link of} does · OptionsError when a policy stands there twice for one key */
  ofAll(checks: readonly ReferencedCheck[]): SubjectCharge[] | Promise<SubjectCharge[]> {
    const charges = checks.map((check) => this.#attempt(check));
    const known: SubjectCharge[] = [];
    for (const charge of charges) {
      if (charge instanceof Promise) return Promise.all(charges.map((one) => Promise.resolve(one))).then(eachOnce);
      known.push(charge);
    }
    return eachOnce(known);
  }

  #attempt({ policy, key, cost, context }: ReferencedCheck): SubjectCharge | Promise<SubjectCharge> {
    try {
      this.policies.register(policy);
      return this.of(policy.name, key, { cost }, context);
    } catch (error) {
      // Beside promises, which nobody would wait for if it were thrown.
      return rejected(error);
    }
  }
}

/** @throws OptionsError */
export function refuseSlots({ policy }: SubjectCharge, operation: string): void {
  if (!policy.hasSlots) return;
  throw new OptionsError(
    `${operation}("${policy.name}")`,
    'has a concurrency limit, whose slots somebody has to give back. Use acquire or run.',
  );
}

/** Tells policies and subjects apart, in this process. */
export function lineOf({ policy, subject }: Pick<SubjectCharge, 'policy' | 'subject'>): string {
  return `${policy.id} ${withKey(policy.name, () => encodeSubject(subject))}`;
}

/** What was thrown, as a promise. */
export function rejected<T>(error: unknown): Promise<T> {
  return Promise.reject(error instanceof Error ? error : new Error('What was thrown is no error.', { cause: error }));
}

function eachOnce(charges: SubjectCharge[]): SubjectCharge[] {
  if (charges.length < 2) return charges;
  const seen = new Set<string>();
  for (const charge of charges) {
    const name = lineOf(charge);
    if (seen.has(name)) {
      throw new OptionsError('check', `names the policy "${charge.policy.name}" twice for one key. Add up the cost.`);
    }
    seen.add(name);
  }
  return charges;
}
