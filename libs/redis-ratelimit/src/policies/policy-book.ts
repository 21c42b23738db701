import { OptionsError, type Clock, type Key } from '@redstart/redis-core';
import type { RateLimitContext } from '../requests/context.js';
import { UnknownPolicyError } from '../ratelimit.errors.js';
import type { Policies } from './create-policies.js';
import { DynamicPolicy } from './dynamic-policy.js';
import type { OnError } from './policy-options.js';
import { withKey } from './usable-input.js';
import { compilePolicy, hasSlots, type CompiledPolicy, type RateLimitPolicy } from './policy.js';

/** What a decorator limits by: a name of the module's policies, or a policy written at the decorator, which then has its place as the name. */
export interface PolicyReference {
  readonly name: string;
  readonly inline?: RateLimitPolicy;
}

/**
 * All policies of one module by name. The module's own are there from the start; those written at a decorator join when the application
 * boots, or at their first call where the class is not built by Nest's container.
 */
export class PolicyBook {
  readonly #policies = new Map<string, CompiledPolicy | DynamicPolicy>();
  /** Which decorator a name was taken by: two classes of one name must not share a count by accident. */
  readonly #owners = new Map<string, PolicyReference>();
  readonly #onError: OnError;
  readonly #clock: Clock;

  constructor(policies: Policies, onError: OnError, clock: Clock) {
    this.#onError = onError;
    this.#clock = clock;
    for (const [name, policy] of Object.entries(policies)) this.#define(name, policy);
  }

  get names(): string[] {
    return [...this.#policies.keys()];
  }

  /** @throws UnknownPolicyError */
  checkName(name: string): void {
    this.#get(name);
  }

  /**
   * What holds for a key.
   * @throws UnknownPolicyError · what the function of a dynamic policy throws
   */
  policyFor(name: string, key: Key, context?: RateLimitContext): CompiledPolicy | Promise<CompiledPolicy> {
    const policy = this.#get(name);
    return policy instanceof DynamicPolicy ? withKey(name, () => policy.for(key, context)) : policy;
  }

  /**
   * Takes in the policy of a decorator, if it brings one.
   * @throws UnknownPolicyError · OptionsError when the name of an inline policy is taken
   */
  register(reference: PolicyReference): void {
    const { name, inline } = reference;
    if (inline === undefined) {
      this.checkName(name);
      return;
    }
    const owner = this.#owners.get(name);
    if (owner === reference) return;
    if (owner !== undefined || this.#policies.has(name)) {
      throw new OptionsError(
        `rate limit "${name}"`,
        'is written at two places of the same name, or twice at one, which would count together. For several limits at one place use all(…). Otherwise name the policy in RedisRateLimitModule.forRoot({ policies }) and refer to it.',
      );
    }
    this.#define(name, inline);
    this.#owners.set(name, reference);
  }

  /** Of a dynamic policy nobody knows beforehand; of an unknown one it is told elsewhere. */
  mayHaveSlots({ name, inline }: PolicyReference): boolean {
    if (inline !== undefined) return inline.kind === 'dynamic' || hasSlots(inline);
    const policy = this.#policies.get(name);
    return policy instanceof DynamicPolicy || policy?.hasSlots === true;
  }

  /** @throws UnknownPolicyError · OptionsError as `createPolicies` does */
  redefine(name: string, policy: RateLimitPolicy): void {
    this.checkName(name);
    this.#define(name, policy);
  }

  /** @throws UnknownPolicyError */
  refresh(name: string, key?: Key): void {
    const policy = this.#get(name);
    if (policy instanceof DynamicPolicy) policy.refresh(key);
  }

  refreshAll(): void {
    for (const policy of this.#policies.values()) if (policy instanceof DynamicPolicy) policy.refresh();
  }

  #define(name: string, policy: RateLimitPolicy): void {
    const defined =
      policy.kind === 'dynamic'
        ? new DynamicPolicy(name, policy, this.#onError, this.#clock)
        : compilePolicy(name, policy, this.#onError);
    this.#policies.set(name, defined);
  }

  #get(name: string): CompiledPolicy | DynamicPolicy {
    const policy = this.#policies.get(name);
    if (policy === undefined) throw new UnknownPolicyError(name, this.names);
    return policy;
  }
}
