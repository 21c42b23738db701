import { defineScript } from '@redstart/redis-core';
import type { LockKeys } from '../keys.js';
import type { LockRuntime } from '../lock-runtime.js';

/**
 * Gives the owner a full lease from now. Never adds to what is left, and never creates a lock that is gone.
 *
 * KEYS  holder
 * ARGV  owner, ttlMs
 * Returns  1 extended · 0 not held any more (nothing was changed)
 */
export const extendScript = defineScript({
  name: 'lock:extend',
  keys: 1,
  flags: ['allow-oom'],
  lua: `
    if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
    return redis.call('PEXPIRE', KEYS[1], ARGV[2])`,
  parse: (reply) => reply === 1,
});

/** Whether `owner` still held the lock; see {@link extendScript}. */
export function extend(runtime: LockRuntime, keys: LockKeys, owner: string, ttlMs: number): Promise<boolean> {
  return runtime.run('lock.extend', ttlMs, extendScript, [keys.holder], [owner, ttlMs]);
}
