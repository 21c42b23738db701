import type { Key, KeySpace } from '@redstart/redis-core';
import type { CompiledLimit } from './policies/policy.js';

/**
 * Every Redis key of redis-ratelimit. One subject = one hash tag, so that all limits on it, of whatever policy, can be decided in one script.
 *
 * @returns the key of a limit, shop:ratelimit:{user:42}:api:sw-60000-10
 *   HASH  bucket number -> cost taken in it, PX = window + 2 buckets
 */
export function limitKeys(space: KeySpace, subject: Key): (limit: CompiledLimit) => string {
  const at = space.tagged('ratelimit', subject);
  return ({ part }) => at(part);
}
