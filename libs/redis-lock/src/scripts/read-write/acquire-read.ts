import { defineScript } from '@redstart/redis-core';
import type { ReadWriteKeys } from '../../keys.js';
import type { AcquireReply } from '../../lease.js';
import type { LockRuntime } from '../../lock-runtime.js';
import { parseAcquireReply } from '../acquire.js';
import { acquireSide, acquireSideLua, type AcquireSideRequest } from './acquire-side.js';

export interface AcquireReadRequest extends AcquireSideRequest {
  /** An owner of the same flow of calls that reads already. Waiting writers wait for it, so it must not wait for them. */
  readonly beside: string | undefined;
}

/**
 * Lets a reader in, or has it wait. To be repeated as often as one likes with the same owner: who reads already gets a full lease again and a newer
 * fencing token; who waits already stays alive.
 *
 * A reader is kept out by a writer, and by a live writer that waits. A free lock goes to the first waiting writer that can hear of it; when none can, the
 * caller comes in, and with it all waiting readers.
 *
 * KEYS  writer, fence, queue, waiters, readers, waiting readers
 * ARGV  owner, ttlMs, queueLeaseMs (0: don't wait), claimMs, wake, publish, beside (or empty)
 * Returns  {1, fencing token} acquired · {0, lease left in ms, server ms, owner of that lease, 1 when only that is in the way} kept out by a writer
 */
export const acquireReadScript = defineScript<AcquireReply>({
  name: 'lock:acquire-read',
  keys: 6,
  lua: `
    ${acquireSideLua}

    if reads(owner) or reads(ARGV[7]) then
      enter(owner, ttlMs)
      redis.call('ZREM', KEYS[6], owner)
      return { 1, mint(0) }
    end

    local free = not writer and redis.call('EXISTS', KEYS[5]) == 0
    if free then writer = handOff() end
    if not writer and (free or not writerWaits()) then
      -- First: a counter of another type must not leave a reader behind that nobody is.
      local fence = mint(0)
      enter(owner, ttlMs)
      redis.call('ZREM', KEYS[6], owner)
      admitReaders()
      return { 1, fence }
    end

    if queueLeaseMs > 0 then
      redis.call('ZADD', KEYS[6], text(ms + queueLeaseMs), owner)
      if redis.call('PTTL', KEYS[6]) < queueLeaseMs * 2 then redis.call('PEXPIRE', KEYS[6], text(queueLeaseMs * 2)) end
    end
    return keptOut(KEYS[4], writer and writerWaits() and 0 or 1)`,
  parse: parseAcquireReply,
});

/** One attempt of a reader; see {@link acquireReadScript}. */
export function acquireRead(
  runtime: LockRuntime,
  keys: ReadWriteKeys,
  request: AcquireReadRequest,
): Promise<AcquireReply> {
  return acquireSide(runtime, 'read', acquireReadScript, keys, request, request.beside ?? '');
}
