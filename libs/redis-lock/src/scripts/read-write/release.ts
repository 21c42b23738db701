import { defineScript } from '@redstart/redis-core';
import { readWriteScriptKeys, type ReadWriteKeys } from '../../keys.js';
import type { LockRuntime } from '../../lock-runtime.js';
import { sidesLua } from './sides.js';

/**
 * Ends a read lease, and lets in whoever may come then; or keeps it for a while, and no longer.
 *
 * KEYS  writer, fence, queue, waiters, readers, waiting readers
 * ARGV  owner, claimMs, wake, publish, keepMs (0: end it now)
 * Returns  1 released · 0 its lease was over (nothing was changed)
 */
export const releaseReadScript = defineScript({
  name: 'lock:release-read',
  keys: 6,
  flags: ['allow-oom'],
  lua: `
    local claimMs, wake, publish, keepMs = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
    ${sidesLua}

    if not reads(ARGV[1]) then return 0 end
    if keepMs > 0 then
      enter(ARGV[1], keepMs)
      return 1
    end
    redis.call('ZREM', KEYS[5], ARGV[1])
    expire(KEYS[5])
    admit()
    return 1`,
  parse: (reply) => reply === 1,
});

/**
 * Frees the write side, and lets in whoever may come then; or keeps it taken for a while, and no longer.
 *
 * KEYS  writer, fence, queue, waiters, readers, waiting readers
 * ARGV  owner, claimMs, wake, publish, keepMs (0: free it now)
 * Returns  1 released · 0 not held any more (nothing was changed)
 */
export const releaseWriteScript = defineScript({
  name: 'lock:release-write',
  keys: 6,
  flags: ['allow-oom'],
  lua: `
    if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
    if tonumber(ARGV[5]) > 0 then return redis.call('PEXPIRE', KEYS[1], ARGV[5]) end
    local claimMs, wake, publish = ARGV[2], ARGV[3], ARGV[4]
    ${sidesLua}

    redis.call('DEL', KEYS[1])
    admit()
    return 1`,
  parse: (reply) => reply === 1,
});

/** Whether `owner` read, or wrote, until now; see {@link releaseReadScript} and {@link releaseWriteScript}. */
export function releaseSide(
  runtime: LockRuntime,
  side: 'read' | 'write',
  keys: ReadWriteKeys,
  owner: string,
  ttlMs: number,
  keepMs: number,
): Promise<boolean> {
  const script = side === 'read' ? releaseReadScript : releaseWriteScript;
  const args = [owner, runtime.options.claimTtlMs, keys.wake, runtime.publishCommand, keepMs];
  return runtime.run(`lock.release-${side}`, ttlMs, script, readWriteScriptKeys(keys), args);
}
