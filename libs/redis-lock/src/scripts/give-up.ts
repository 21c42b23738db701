import { defineScript } from '@redstart/redis-core';
import { scriptKeys, type LockKeys } from '../keys.js';
import type { LockRuntime } from '../lock-runtime.js';
import { handOffLua } from './hand-off.js';

/**
 * Leaves no trace of an owner: takes it out of the queue, and passes the lock on if it was given to it meanwhile.
 *
 * KEYS  holder, fence, queue, waiters
 * ARGV  owner, claimMs, wake, publish
 * Returns  1 it held the lock · 0 it did not
 */
export const giveUpScript = defineScript({
  name: 'lock:give-up',
  keys: 4,
  flags: ['allow-oom'],
  lua: `
    local claimMs, wake, publish = ARGV[2], ARGV[3], ARGV[4]
    ${handOffLua}

    leave(ARGV[1])
    if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
    if not handOff() then redis.call('DEL', KEYS[1]) end
    return 1`,
  parse: (reply) => reply === 1,
});

/** Whether `owner` held the lock; see {@link giveUpScript}. */
export function giveUp(runtime: LockRuntime, keys: LockKeys, owner: string, ttlMs: number): Promise<boolean> {
  return runtime.run('lock.give-up', ttlMs, giveUpScript, scriptKeys(keys), [
    owner,
    runtime.options.claimTtlMs,
    keys.wake,
    runtime.publishCommand,
  ]);
}
