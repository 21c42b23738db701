import { gcra, type GcraOptions } from '../algorithms/gcra/gcra.js';
import { slidingWindow, type SlidingWindowOptions } from '../algorithms/sliding-window/sliding-window.js';
import type { PolicyReference } from '../policies/policy-book.js';
import { checkPolicyName, isPolicy, type RateLimitPolicy } from '../policies/policy.js';

/** What a decorator limits by: the name of a policy, a policy, or the options of one: `{ limit, window }` of a sliding window, `{ rate, per }` of GCRA. */
export type PolicyArgument = string | RateLimitPolicy | SlidingWindowOptions | GcraOptions;

/**
 * @param place what a policy without a name is named after: `FlightsController.search`
 * @throws OptionsError for a wrong name or wrong options
 */
export function policyReference(argument: PolicyArgument, place: string, decorator: string): PolicyReference {
  if (typeof argument === 'string') return { name: checkPolicyName(argument, decorator) };
  return { name: checkPolicyName(place.replaceAll(/[^A-Za-z0-9_.\-/]/g, '_'), decorator), inline: policyOf(argument) };
}

function policyOf(argument: Exclude<PolicyArgument, string>): RateLimitPolicy {
  if (isPolicy(argument)) return argument;
  return isRate(argument) ? gcra(argument) : slidingWindow(argument);
}

function isRate(options: unknown): options is GcraOptions {
  return typeof options === 'object' && options !== null && 'rate' in options;
}
