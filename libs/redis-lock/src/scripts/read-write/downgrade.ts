import { defineScript } from '@redstart/redis-core';
import { readWriteScriptKeys, type ReadWriteKeys } from '../../keys.js';
import type { LockRuntime } from '../../lock-runtime.js';
import { sidesLua } from './sides.js';

/**
 * Makes a reader of the writer, with a full lease, before any other writer can come in; lets waiting readers in, unless a writer waits. May be repeated:
 * who reads already stays a reader.
 *
 * KEYS  writer, fence, queue, waiters, readers, waiting readers
 * ARGV  owner, ttlMs, claimMs, wake, publish
 * Returns  1 it reads now · 0 it neither wrote nor read any more (nothing was changed)
 */
export const downgradeScript = defineScript({
  name: 'lock:downgrade',
  keys: 6,
  flags: ['allow-oom'],
  lua: `
    local claimMs, wake, publish = ARGV[3], ARGV[4], ARGV[5]
    ${sidesLua}

    if redis.call('GET', KEYS[1]) == ARGV[1] then
      redis.call('DEL', KEYS[1])
    elseif not reads(ARGV[1]) then
      return 0
    end
    enter(ARGV[1], ARGV[2])
    admit()
    return 1`,
  parse: (reply) => reply === 1,
});

/** Whether `owner` reads now; see {@link downgradeScript}. */
export function downgrade(runtime: LockRuntime, keys: ReadWriteKeys, owner: string, ttlMs: number): Promise<boolean> {
  const args = [owner, ttlMs, runtime.options.claimTtlMs, keys.wake, runtime.publishCommand];
  return runtime.run('lock.downgrade', ttlMs, downgradeScript, readWriteScriptKeys(keys), args);
}
