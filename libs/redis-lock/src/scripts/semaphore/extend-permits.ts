import { defineScript } from '@redstart/redis-core';
import { semaphoreScriptKeys, type SemaphoreKeys } from '../../keys.js';
import type { LockRuntime } from '../../lock-runtime.js';
import { permitsLua } from './permits.js';

/**
 * Gives an owner's permits a full lease from now, if they are still out. The leases of the others stay as they are.
 *
 * KEYS  permits, fence, queue, waiters, limit
 * ARGV  owner, count, ttlMs
 * Returns  1 extended · 0 their lease is over (nothing was changed)
 */
export const extendPermitsScript = defineScript({
  name: 'lock:extend-permits',
  keys: 5,
  flags: ['allow-oom'],
  lua: `
    local claimMs, wake, publish, limit
    ${permitsLua}
    if not holds(ARGV[1]) then return 0 end
    enter(ARGV[1], tonumber(ARGV[2]), ARGV[3])
    return 1`,
  parse: (reply) => reply === 1,
});

/** Whether the permits of `owner` were still out; see {@link extendPermitsScript}. */
export function extendPermits(
  runtime: LockRuntime,
  keys: SemaphoreKeys,
  owner: string,
  count: number,
  ttlMs: number,
): Promise<boolean> {
  const args = [owner, count, ttlMs];
  return runtime.run('lock.extend-permits', ttlMs, extendPermitsScript, semaphoreScriptKeys(keys), args);
}
