import { OptionsError } from '@redstart/redis-core';
import { UnknownPolicyError } from '../ratelimit.errors.js';
import type { Policies } from './create-policies.js';
import type { OnError } from './policy-options.js';
import { compilePolicy, type CompiledPolicy, type RateLimitPolicy } from './policy.js';

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
  readonly #policies = new Map<string, CompiledPolicy>();
  /** Which decorator a name was taken by: two classes of one name must not share a count by accident. */
  readonly #owners = new Map<string, PolicyReference>();
  readonly #onError: OnError;

  constructor(policies: Policies, onError: OnError) {
    this.#onError = onError;
    for (const [name, policy] of Object.entries(policies)) {
      this.#policies.set(name, compilePolicy(name, policy, onError));
    }
  }

  get names(): string[] {
    return [...this.#policies.keys()];
  }

  /** @throws UnknownPolicyError */
  get(name: string): CompiledPolicy {
    const policy = this.#policies.get(name);
    if (policy === undefined) throw new UnknownPolicyError(name, this.names);
    return policy;
  }

  /** @throws UnknownPolicyError · OptionsError when the name of an inline policy is taken */
  resolve(reference: PolicyReference): CompiledPolicy {
    const { name, inline } = reference;
    if (inline === undefined) return this.get(name);
    const owner = this.#owners.get(name);
    if (owner === reference) return this.get(name);
    if (owner !== undefined || this.#policies.has(name)) {
      throw new OptionsError(
        `rate limit "${name}"`,
        'is written at two places of the same name, which would count together. Name the policy in RedisRateLimitModule.forRoot({ policies }) and refer to it.',
      );
    }
    const policy = compilePolicy(name, inline, this.#onError);
    this.#owners.set(name, reference);
    this.#policies.set(name, policy);
    return policy;
  }
}
