import { defineScript } from '@redstart/redis-core';
import { fencedKeys, type LockKeys } from '../../keys.js';
import type { LockRuntime } from '../../lock-runtime.js';
import { fenceLifetimeMs } from '../../scripts/grant.js';

/**
 * Writes a fencing token back to a node, where the owner still has all of these locks. So the next one who wins them at this node reads it there; a token
 * that the node knows already and that is higher stays.
 *
 * KEYS  holder, fence of each lock
 * ARGV  owner, fencing token
 * Returns  1 the node knows this token, or a higher one · 0 not held any more (nothing was changed)
 */
export const quorumFenceScript = defineScript({
  name: 'lock:quorum-fence',
  keys: 'any',
  lua: `
    for at = 1, #KEYS, 2 do
      if redis.call('GET', KEYS[at]) ~= ARGV[1] then return 0 end
    end
    for at = 2, #KEYS, 2 do
      local last = tonumber(redis.call('GET', KEYS[at]) or 0) or 0
      if last < tonumber(ARGV[2]) then redis.call('SET', KEYS[at], ARGV[2], 'PX', ${fenceLifetimeMs}) end
    end
    return 1`,
  parse: (reply) => reply === 1,
});

/** Whether the owner still has the locks at this node, which knows the token from now on; see {@link quorumFenceScript}. */
export function quorumFence(
  node: LockRuntime,
  locks: readonly LockKeys[],
  owner: string,
  ttlMs: number,
  fence: number,
): Promise<boolean> {
  return node.run('lock.quorum-fence', ttlMs, quorumFenceScript, locks.flatMap(fencedKeys), [owner, fence]);
}
