import { defineScript } from '@redstart/redis-core';
import { readWriteScriptKeys, type ReadWriteKeys } from '../../keys.js';
import type { AcquireReply } from '../../lease.js';
import type { LockRuntime } from '../../lock-runtime.js';
import { parseAcquireReply } from '../acquire.js';
import { sidesLua } from './sides.js';

export interface AcquireReadRequest {
  readonly owner: string;
  readonly ttlMs: number;
  /** Wait for the writers in the way. */
  readonly queue: boolean;
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
    local claimMs, wake, publish = ARGV[4], ARGV[5], ARGV[6]
    ${sidesLua}

    local owner, ttlMs, queueLeaseMs, beside = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[7]
    purge(KEYS[5])
    local writer = redis.call('GET', KEYS[1])
    if reads(owner) or reads(beside) then
      enter(owner, ttlMs)
      redis.call('ZREM', KEYS[6], owner)
      return { 1, mint(0) }
    end

    local free = not writer and redis.call('EXISTS', KEYS[5]) == 0
    if free then writer = handOff() end
    if not writer and (free or not writerWaits()) then
      enter(owner, ttlMs)
      redis.call('ZREM', KEYS[6], owner)
      local fence = mint(0)
      admitReaders()
      return { 1, fence }
    end

    if queueLeaseMs > 0 then
      redis.call('ZADD', KEYS[6], text(ms + queueLeaseMs), owner)
      if redis.call('PTTL', KEYS[6]) < queueLeaseMs * 2 then redis.call('PEXPIRE', KEYS[6], text(queueLeaseMs * 2)) end
    end
    local alone = writerWaits() and 0 or 1
    if writer then return { 0, redis.call('PTTL', KEYS[1]), ms, writer, alone } end
    local last = redis.call('ZRANGE', KEYS[4], -1, -1, 'WITHSCORES')
    return { 0, last[2] - ms, ms, last[1], 1 }`,
  parse: parseAcquireReply,
});

/** One attempt of a reader; see {@link acquireReadScript}. */
export function acquireRead(
  runtime: LockRuntime,
  keys: ReadWriteKeys,
  { owner, ttlMs, queue, beside = '' }: AcquireReadRequest,
): Promise<AcquireReply> {
  const { queueLeaseMs, claimTtlMs } = runtime.options;
  return runtime.run('lock.acquire-read', ttlMs, acquireReadScript, readWriteScriptKeys(keys), [
    owner,
    ttlMs,
    queue ? queueLeaseMs : 0,
    claimTtlMs,
    keys.wake,
    runtime.publishCommand,
    beside,
  ]);
}
