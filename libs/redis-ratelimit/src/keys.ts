import type { Key, KeySpace } from '@redstart/redis-core';
import type { CompiledLimit } from './policies/policy.js';

/**
 * Every Redis key of redis-ratelimit. One subject = one hash tag, so that all limits on it, of whatever policy, can be decided in one script.
 */
export function limitKeys(space: KeySpace, subject: Key) {
  const at = space.tagged('ratelimit', subject);
  const main = at();
  return {
    /**
     * The state of a limit, PX = until nothing is counted any more: shop:ratelimit:{user:42}:api:sw-60000-10
     *
     * - sw     HASH    sliding window
     * - sl     ZSET    sliding log
     * - fw     STRING  fixed window
     * - tb     STRING  token bucket
     * - gcra   STRING  GCRA
     * - slots  ZSET    calls under way
     *
     * What stands in each is told where its algorithm is.
     */
    // Its part is made of a checked name and numbers: there is nothing to escape.
    state: ({ part }: CompiledLimit) => `${main}:${part}`,
    /** STRING  the answer to an `exact` call, PX = 1 minute */
    memory: (call: string) => at(`call:${call}`),
  };
}

/** The channel on which processes tell each other whose denials to forget: the state keys of a subject, one a line. */
export function forgetChannel(space: KeySpace): string {
  return space.untagged('ratelimit', 'forget');
}

/** The channel on which processes tell each other to ask for the limits of a `dynamic` policy again: its name and a key, or none, as JSON. */
export function refreshChannel(space: KeySpace): string {
  return space.untagged('ratelimit', 'refresh');
}

/** The keys of one throttler of @nestjs/throttler for one of its keys, which ThrottlerGuard makes of route, throttler and tracker. */
export function throttlerKeys(space: KeySpace, throttlerName: string, key: string) {
  const at = space.tagged('throttler', [throttlerName, key]); // shop:throttler:{default:9f86d0…}
  return {
    hits: at('hits'), //   LIST    when each counted hit came (server us), oldest first, PX = ttl + 1 ms
    block: at('block'), // STRING  until when it is blocked (server us), PX = blockDuration + 1 ms
  };
}
