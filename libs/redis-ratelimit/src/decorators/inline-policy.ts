import type { PolicyReference } from '../policies/policy-book.js';
import { checkPolicyName, isPolicy, type RateLimitPolicy } from '../policies/policy.js';
import { slidingWindow, type SlidingWindowOptions } from '../algorithms/sliding-window/sliding-window.js';

/** What a decorator limits by: the name of a policy, a policy, or the options of a sliding window. */
export type PolicyArgument = string | RateLimitPolicy | SlidingWindowOptions;

/**
 * @param place what a policy without a name is named after: `FlightsController.search`
 * @throws OptionsError for a wrong name or wrong options
 */
export function policyReference(argument: PolicyArgument, place: string, decorator: string): PolicyReference {
  if (typeof argument === 'string') return { name: checkPolicyName(argument, decorator) };
  const inline = isPolicy(argument) ? argument : slidingWindow(argument);
  return { name: checkPolicyName(place.replaceAll(/[^A-Za-z0-9_.\-/]/g, '_'), decorator), inline };
}
