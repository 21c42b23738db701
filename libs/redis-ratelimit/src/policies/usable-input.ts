import { checkInteger, InvalidKeyError, OptionsError } from '@redstart/redis-core';
import { RateLimitInputError } from '../ratelimit.errors.js';

const largestCost = 2 ** 31;

/** @throws RateLimitInputError: what a call costs was computed of what a client sent, as a rule */
export function checkCost(policy: string, cost: number): number {
  try {
    return checkInteger(cost, 'cost', 0, largestCost);
  } catch (error) {
    if (error instanceof OptionsError) throw new RateLimitInputError(policy, 'cost', error);
    throw error;
  }
}

/** A key out of what a client sent may be no key: empty, half a character, an object. */
export function refuseKey(policy: string, error: unknown): never {
  throw error instanceof InvalidKeyError ? new RateLimitInputError(policy, 'key', error) : error;
}

/** Does something with a key. @throws RateLimitInputError when it is none */
export function withKey<T>(policy: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    return refuseKey(policy, error);
  }
}
