import { defineScript } from '@redstart/redis-core';
import type { ReadWriteKeys } from '../../keys.js';
import type { AcquireReply } from '../../lease.js';
import type { LockRuntime } from '../../lock-runtime.js';
import { parseAcquireReply } from '../acquire.js';
import { acquireSide, acquireSideLua, type AcquireSideRequest } from './acquire-side.js';

/**
 * Takes the write side of a free lock, or a place in the queue of writers, which keeps new readers out. To be repeated as often as one likes with the same
 * owner, as a mutex is.
 *
 * KEYS  writer, fence, queue, waiters, readers, waiting readers
 * ARGV  owner, ttlMs, queueLeaseMs (0: don't queue), claimMs, wake, publish
 * Returns  {1, fencing token} acquired · {0, lease left in ms, server ms, owner of that lease, 1 when next in the queue} held by a writer, or by readers, of
 *   which the one with the last lease is named
 */
export const acquireWriteScript = defineScript<AcquireReply>({
  name: 'lock:acquire-write',
  keys: 6,
  lua: `
    ${acquireSideLua}

    if writer == owner then
      redis.call('PEXPIRE', KEYS[1], ttlMs)
      local fence = tonumber(redis.call('GET', KEYS[2]) or 0) or 0
      return { 1, fence == 0 and mint(0) or fence }
    end

    if not writer and redis.call('EXISTS', KEYS[5]) == 0 then
      writer = handOff(owner)
      if not writer then
        -- First: a counter of another type must not leave a lock behind that nobody holds.
        local fence = mint(0)
        redis.call('SET', KEYS[1], owner, 'PX', ttlMs)
        return { 1, fence }
      end
    end

    local first = 0
    if queueLeaseMs > 0 then first = enqueue(owner, queueLeaseMs) end
    return keptOut(KEYS[5], first)`,
  parse: parseAcquireReply,
});

/** One attempt of a writer; see {@link acquireWriteScript}. */
export function acquireWrite(
  runtime: LockRuntime,
  keys: ReadWriteKeys,
  request: AcquireSideRequest,
): Promise<AcquireReply> {
  return acquireSide(runtime, 'write', acquireWriteScript, keys, request);
}
