import { defineScript, type ScriptArgument } from '@redstart/redis-core';
import type { LockRuntime } from '../lock-runtime.js';
import { eachLockLua, keysOfEach, type OwnedLock, type OwnedLocks } from './each-lock.js';
import { handOffLua } from './hand-off.js';

/**
 * Frees each lock that its owner still holds, and hands it to the first waiter that can hear of it; or keeps it taken for a while, and no longer.
 *
 * KEYS  holder, fence, queue, waiters of each lock
 * ARGV  keepMs (0: free it now), claimMs, wake, publish, then the owner of each lock
 * Returns  for each lock: 1 released · 0 not held any more (nothing was changed) · nil as {@link eachLockLua} says
 */
export const releaseScript = defineScript<readonly (boolean | undefined)[]>({
  name: 'lock:release',
  keys: 'any',
  flags: ['allow-oom'],
  lua: `
    local function serve(owner, at)
      if redis.call('GET', KEYS[at]) ~= owner then return 0 end
      if ARGV[1] ~= '0' then return redis.call('PEXPIRE', KEYS[at], ARGV[1]) end
      if redis.call('EXISTS', KEYS[at + 2]) == 0 then return redis.call('DEL', KEYS[at]) end

      local KEYS = { KEYS[at], KEYS[at + 1], KEYS[at + 2], KEYS[at + 3] }
      local claimMs, wake, publish = ARGV[2], ARGV[3], ARGV[4]
      ${handOffLua}
      if not handOff() then redis.call('DEL', KEYS[1]) end
      return 1
    end
    ${eachLockLua(5)}`,
  parse: (replies) => (replies as readonly unknown[]).map((reply) => (reply === null ? undefined : reply === 1)),
});

/** For each lock whether its owner held it until now; see {@link releaseScript}. */
export function release(runtime: LockRuntime, locks: OwnedLocks, ttlMs: number) {
  return runtime.send('lock.release', ttlMs, releaseScript, keysOfEach(locks), argsOf(runtime, locks, 0));
}

/** Whether its owner held it until now, which stays taken for so long; see {@link releaseScript}. */
export async function keepFor(runtime: LockRuntime, lock: OwnedLock, ttlMs: number, keepMs: number): Promise<boolean> {
  const args = argsOf(runtime, [lock], keepMs);
  const [kept] = await runtime.run('lock.release', ttlMs, releaseScript, keysOfEach([lock]), args);
  return kept === true;
}

function argsOf({ options, publishCommand }: LockRuntime, locks: OwnedLocks, keepMs: number): ScriptArgument[] {
  const owners = locks.map(({ owner }) => owner);
  return [keepMs, options.claimTtlMs, locks[0].keys.wake, publishCommand, ...owners];
}
