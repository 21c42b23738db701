import { defineScript } from '@redstart/redis-core';
import { scriptKeys, type LockKeys } from '../keys.js';
import type { LockRuntime } from '../lock-runtime.js';
import { handOffLua } from './hand-off.js';

/**
 * Frees the lock if the caller still holds it, and hands it to the first waiter that can hear of it; or keeps it taken for a while, and no longer.
 *
 * KEYS  holder, fence, queue, waiters
 * ARGV  owner, claimMs, wake, publish, keepMs (0: free it now)
 * Returns  1 released · 0 not held any more (nothing was changed)
 */
export const releaseScript = defineScript({
  name: 'lock:release',
  keys: 4,
  flags: ['allow-oom'],
  lua: `
    if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
    if tonumber(ARGV[5]) > 0 then return redis.call('PEXPIRE', KEYS[1], ARGV[5]) end
    if redis.call('EXISTS', KEYS[3]) == 0 then return redis.call('DEL', KEYS[1]) end
    local claimMs, wake, publish = ARGV[2], ARGV[3], ARGV[4]
    ${handOffLua}

    if not handOff() then redis.call('DEL', KEYS[1]) end
    return 1`,
  parse: (reply) => reply === 1,
});

/** Whether `owner` held the lock until now; see {@link releaseScript}. */
export function release(
  runtime: LockRuntime,
  keys: LockKeys,
  owner: string,
  ttlMs: number,
  keepMs: number,
): Promise<boolean> {
  return runtime.run('lock.release', ttlMs, releaseScript, scriptKeys(keys), [
    owner,
    runtime.options.claimTtlMs,
    keys.wake,
    runtime.publishCommand,
    keepMs,
  ]);
}
