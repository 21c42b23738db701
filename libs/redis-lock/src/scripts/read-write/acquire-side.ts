import type { Script, ScriptArgument } from '@redstart/redis-core';
import { readWriteScriptKeys, type ReadWriteKeys } from '../../keys.js';
import type { AcquireReply } from '../../lease.js';
import type { LockRuntime } from '../../lock-runtime.js';
import { sidesLua } from './sides.js';

export interface AcquireSideRequest {
  readonly owner: string;
  readonly ttlMs: number;
  /** Wait for those in the way: as a reader, or with a place in the queue of writers. */
  readonly queue: boolean;
}

/**
 * Lua: how the acquire script of either side begins. It expects KEYS writer, fence, queue, waiters, readers, waiting readers and ARGV owner, ttlMs, queueLeaseMs (0: don't
 * wait), claimMs, wake, publish; what {@link sidesLua} defines comes along. `writer` is who writes, if anybody does; readers whose lease is over are forgotten.
 *
 * `keptOut(set, isNext)`: what a script answers to whom it keeps out. In the way is the writer, or whoever has the last lease in `set`.
 */
export const acquireSideLua = `
    local owner, ttlMs, queueLeaseMs = ARGV[1], ARGV[2], tonumber(ARGV[3])
    local claimMs, wake, publish = ARGV[4], ARGV[5], ARGV[6]
    ${sidesLua}

    purge(KEYS[5])
    local writer = redis.call('GET', KEYS[1])

    local function keptOut(set, isNext)
      if writer then return { 0, redis.call('PTTL', KEYS[1]), ms, writer, isNext } end
      local last = redis.call('ZRANGE', set, -1, -1, 'WITHSCORES')
      return { 0, last[2] - ms, ms, last[1], isNext }
    end`;

/** One attempt at a side, by its script. */
export function acquireSide(
  runtime: LockRuntime,
  side: 'read' | 'write',
  script: Script<AcquireReply>,
  keys: ReadWriteKeys,
  { owner, ttlMs, queue }: AcquireSideRequest,
  ...more: readonly ScriptArgument[]
): Promise<AcquireReply> {
  const { queueLeaseMs, claimTtlMs } = runtime.options;
  const args = [owner, ttlMs, queue ? queueLeaseMs : 0, claimTtlMs, keys.wake, runtime.publishCommand, ...more];
  return runtime.run(`lock.acquire-${side}`, ttlMs, script, readWriteScriptKeys(keys), args);
}
