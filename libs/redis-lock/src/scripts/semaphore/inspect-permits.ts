import { defineScript } from '@redstart/redis-core';
import { semaphoreScriptKeys, type SemaphoreKeys } from '../../keys.js';
import type { LockRuntime } from '../../lock-runtime.js';

export interface InspectPermitsReply {
  /** `undefined` when none is in force. */
  readonly limit: number | undefined;
  readonly taken: number;
  readonly waiting: number;
}

/**
 * Looks at a semaphore without changing anything.
 *
 * KEYS  permits, fence, queue, waiters, limit
 * Returns  {limit or false, number of permits that are out, number of live waiters}
 */
export const inspectPermitsScript = defineScript<InspectPermitsReply>({
  name: 'lock:inspect-permits',
  keys: 5,
  flags: ['no-writes'],
  lua: `
    local time = redis.call('TIME')
    local alive = '(' .. string.format('%.0f', math.floor(time[1] * 1000 + time[2] / 1000))
    return {
      redis.call('GET', KEYS[5]), redis.call('ZCOUNT', KEYS[1], alive, '+inf'), redis.call('ZCOUNT', KEYS[4], alive, '+inf')
    }`,
  parse: (reply) => {
    const [limit, taken, waiting] = reply as readonly unknown[];
    return {
      limit: typeof limit === 'string' ? Number(limit) : undefined,
      taken: Number(taken),
      waiting: Number(waiting),
    };
  },
});

/** What Redis knows of a semaphore; see {@link inspectPermitsScript}. */
export function inspectPermits(runtime: LockRuntime, keys: SemaphoreKeys): Promise<InspectPermitsReply> {
  const { ttlMs } = runtime.options;
  return runtime.run('lock.inspect-permits', ttlMs, inspectPermitsScript, semaphoreScriptKeys(keys), []);
}
