import { defineScript } from '@redstart/redis-core';
import { scriptKeys, type LockKeys } from '../keys.js';
import type { LockRuntime } from '../lock-runtime.js';
import { handOffLua } from './hand-off.js';

/**
 * Takes the lock away from whoever holds it, and hands it to the first waiter that can hear of it.
 *
 * KEYS  holder, fence, queue, waiters
 * ARGV  claimMs, wake, publish
 * Returns  1 it was held · 0 it was free
 */
export const forceReleaseScript = defineScript({
  name: 'lock:force-release',
  keys: 4,
  flags: ['allow-oom'],
  lua: `
    if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
    local claimMs, wake, publish = ARGV[1], ARGV[2], ARGV[3]
    ${handOffLua}

    if not handOff() then redis.call('DEL', KEYS[1]) end
    return 1`,
  parse: (reply) => reply === 1,
});

/** Whether the lock was held; see {@link forceReleaseScript}. */
export function forceRelease(runtime: LockRuntime, keys: LockKeys): Promise<boolean> {
  return runtime.run('lock.force-release', runtime.options.ttlMs, forceReleaseScript, scriptKeys(keys), [
    runtime.options.claimTtlMs,
    keys.wake,
    runtime.publishCommand,
  ]);
}
