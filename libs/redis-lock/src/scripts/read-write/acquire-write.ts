import { defineScript } from '@redstart/redis-core';
import { readWriteScriptKeys, type ReadWriteKeys } from '../../keys.js';
import type { AcquireReply } from '../../lease.js';
import type { LockRuntime } from '../../lock-runtime.js';
import { parseAcquireReply } from '../acquire.js';
import { sidesLua } from './sides.js';

export interface AcquireWriteRequest {
  readonly owner: string;
  readonly ttlMs: number;
  /** Take or keep a place in the queue of writers. */
  readonly queue: boolean;
}

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
    local claimMs, wake, publish = ARGV[4], ARGV[5], ARGV[6]
    ${sidesLua}

    local owner, ttlMs, queueLeaseMs = ARGV[1], ARGV[2], tonumber(ARGV[3])
    purge(KEYS[5])
    local writer = redis.call('GET', KEYS[1])
    if writer == owner then
      redis.call('PEXPIRE', KEYS[1], ttlMs)
      local fence = tonumber(redis.call('GET', KEYS[2]) or 0) or 0
      return { 1, fence == 0 and mint(0) or fence }
    end

    if not writer and redis.call('EXISTS', KEYS[5]) == 0 then
      writer = handOff(owner)
      if not writer then
        redis.call('SET', KEYS[1], owner, 'PX', ttlMs)
        return { 1, mint(0) }
      end
    end

    local first = 0
    if queueLeaseMs > 0 then first = enqueue(owner, queueLeaseMs) end
    if writer then return { 0, redis.call('PTTL', KEYS[1]), ms, writer, first } end
    local last = redis.call('ZRANGE', KEYS[5], -1, -1, 'WITHSCORES')
    return { 0, last[2] - ms, ms, last[1], first }`,
  parse: parseAcquireReply,
});

/** One attempt of a writer; see {@link acquireWriteScript}. */
export function acquireWrite(
  runtime: LockRuntime,
  keys: ReadWriteKeys,
  { owner, ttlMs, queue }: AcquireWriteRequest,
): Promise<AcquireReply> {
  const { queueLeaseMs, claimTtlMs } = runtime.options;
  return runtime.run('lock.acquire-write', ttlMs, acquireWriteScript, readWriteScriptKeys(keys), [
    owner,
    ttlMs,
    queue ? queueLeaseMs : 0,
    claimTtlMs,
    keys.wake,
    runtime.publishCommand,
  ]);
}
