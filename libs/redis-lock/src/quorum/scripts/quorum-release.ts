import { defineScript } from '@redstart/redis-core';
import type { LockKeys } from '../../keys.js';
import type { LockRuntime } from '../../lock-runtime.js';

/**
 * Frees what an owner has of these locks at one node; or keeps it taken for a while, and no longer. What others hold stays.
 *
 * KEYS  holder of each lock
 * ARGV  owner, keepMs (0: free them now)
 * Returns  1 all of them were the owner's · 0 not all of them, or none
 */
export const quorumReleaseScript = defineScript({
  name: 'lock:quorum-release',
  keys: 'any',
  flags: ['allow-oom'],
  lua: `
    local all = 1
    for _, key in ipairs(KEYS) do
      if redis.call('GET', key) ~= ARGV[1] then
        all = 0
      elseif tonumber(ARGV[2]) > 0 then
        redis.call('PEXPIRE', key, ARGV[2])
      else
        redis.call('DEL', key)
      end
    end
    return all`,
  parse: (reply) => reply === 1,
});

/** Whether the owner had all of the locks at this node until now; see {@link quorumReleaseScript}. */
export function quorumRelease(
  node: LockRuntime,
  locks: readonly LockKeys[],
  owner: string,
  ttlMs: number,
  keepMs: number,
): Promise<boolean> {
  const keys = locks.map(({ holder }) => holder);
  return node.run('lock.quorum-release', ttlMs, quorumReleaseScript, keys, [owner, keepMs]);
}
