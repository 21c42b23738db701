import { checkKnownKeys, OptionsError } from '@redstart/redis-core';
import { isLimit, type Limit } from '../algorithms/algorithms.js';
import {
  policyOptionNames,
  resolvePolicyOptions,
  type PolicyOptions,
  type ResolvedPolicyOptions,
} from './policy-options.js';

/** Several limits that must all admit a call; made by {@link all}. */
export interface All {
  readonly kind: 'all';
  readonly limits: readonly Limit[];
  readonly policy: ResolvedPolicyOptions;
}

/** The script looks at every limit of a call, so there is an end to it. */
export const mostLimits = 10;

/**
 * All of these limits: decided in one script, every one is charged or none.
 *
 * @throws OptionsError without a limit, with more than 10, with something that is none, or with options of a policy on one of them
 * @example  all(slidingWindow({ limit: 5, window: '1m' }), slidingWindow({ limit: 30, window: '1h' }), { onError: 'closed' })
 */
export function all(...parts: readonly [Limit, ...Limit[]] | readonly [Limit, ...Limit[], PolicyOptions]): All {
  const last = parts.at(-1);
  const options = isLimit(last) ? {} : (last ?? {});
  checkKnownKeys(options, policyOptionNames, 'all');
  const limits = parts.slice(0, isLimit(last) ? undefined : -1).filter(isLimit);
  const given = parts.length - (isLimit(last) ? 0 : 1);
  if (limits.length === 0 || limits.length < given || limits.length > mostLimits) {
    throw new OptionsError(
      'all',
      `takes 1 to ${mostLimits} limits such as slidingWindow({ … }), and options at the end.`,
    );
  }
  const own = limits.flatMap(({ policy }) => policyOptionNames.filter((name) => isSet(policy, name)));
  if (own.length > 0) {
    throw new OptionsError(
      'all',
      `decides its limits together, so ${own.join(', ')} belongs to all(…, { ${own.join(', ')} }), not to one of them.`,
    );
  }
  return Object.freeze({ kind: 'all', limits: Object.freeze(limits), policy: resolvePolicyOptions(options, 'all') });
}

/** Whether an option says something else than it does when it is left out. */
function isSet({ onError, blockMs, enforce, exact }: ResolvedPolicyOptions, name: keyof PolicyOptions): boolean {
  return { onError: onError !== undefined, block: blockMs > 0, enforce: !enforce, exact }[name];
}
