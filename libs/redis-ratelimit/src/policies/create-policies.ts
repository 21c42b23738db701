import { checkKnownKeys, OptionsError } from '@redstart/redis-core';
import { checkPolicyName, isPolicy, type RateLimitPolicy } from './policy.js';

/** Policies by name; made by {@link createPolicies}. */
export type Policies<Name extends string = string> = Readonly<Record<Name, RateLimitPolicy>>;

/** The names of some policies, for `RateLimitService<PolicyName<typeof policies>>`. */
export type PolicyName<P extends Policies> = Extract<keyof P, string>;

/**
 * Names policies once, so that the compiler knows the names.
 *
 * @throws OptionsError for a name that is no policy's, or a value that is none
 * @example
 * export const policies = createPolicies({
 *   api: slidingWindow({ limit: 100, window: '1m' }),
 *   login: all(slidingWindow({ limit: 5, window: '1m' }), slidingWindow({ limit: 30, window: '1h' })),
 * });
 */
export function createPolicies<const Name extends string>(policies: Record<Name, RateLimitPolicy>): Policies<Name> {
  checkKnownKeys(policies, Object.keys(policies), 'policies');
  for (const [name, policy] of Object.entries<unknown>(policies)) {
    checkPolicyName(name, 'policies');
    if (!isPolicy(policy)) {
      throw new OptionsError(
        `policies.${name}`,
        'is no policy. Make it by slidingWindow({ … }), gcra({ … }), all(…) or another of that kind.',
      );
    }
  }
  return Object.freeze({ ...policies });
}
