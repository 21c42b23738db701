import { defineScript } from '@redstart/redis-core';
import { scriptKeys, type LockKeys } from '../keys.js';
import type { AcquireReply } from '../lease.js';
import type { LockRuntime } from '../lock-runtime.js';
import { fenceLifetimeMs } from './grant.js';
import { handOffLua } from './hand-off.js';

export interface AcquireRequest {
  readonly owner: string;
  readonly ttlMs: number;
  /** Take or keep a place in the queue when the lock is held. */
  readonly queue: boolean;
  /** The fencing token is to be at least this, for locks that are taken together. */
  readonly leastFence: number;
}

/** What every script that takes something for one owner answers: {1, fencing token} or {0, lease left in ms, server ms, holder, 1 when next}. */
export function parseAcquireReply(reply: unknown): AcquireReply {
  const [acquired, fenceOrLease, serverMs, holder, first] = reply as readonly unknown[];
  return acquired === 1
    ? { acquired: true, fencingToken: Number(fenceOrLease) }
    : {
        acquired: false,
        leaseMs: Number(fenceOrLease),
        serverMs: Number(serverMs),
        holder: String(holder),
        next: first === 1,
      };
}

/**
 * Takes a free lock, or a place in its queue. To be repeated as often as one likes with the same owner: who holds the lock already gets
 * the same answer and a full lease again, so a lost reply never blocks on its own key; who waits already keeps its place and stays alive.
 *
 * A free lock goes to the first waiter that can hear of it, and to the caller only when no such waiter stands before it. Nearly always nobody waits: that
 * way comes first and needs none of the functions, which cost more to define than all of its commands.
 *
 * KEYS  holder, fence, queue, waiters
 * ARGV  owner, ttlMs, queueLeaseMs (0: don't queue), claimMs, leastFence, wake, publish
 * Returns  {1, fencing token} acquired · {0, lease left in ms, server ms, holder, 1 when next in the queue} held by somebody else
 */
export const acquireScript = defineScript<AcquireReply>({
  name: 'lock:acquire',
  keys: 4,
  lua: `
    local owner, ttlMs = ARGV[1], ARGV[2]
    local holder = redis.call('GET', KEYS[1])
    if not holder and ARGV[5] == '0' and redis.call('EXISTS', KEYS[3]) == 0 then
      local time = redis.call('TIME')
      local us = time[1] .. string.sub('00000' .. time[2], -6)
      local last = redis.call('SET', KEYS[2], us, 'PX', '${fenceLifetimeMs}', 'GET')
      local fence = math.max(tonumber(us), (tonumber(last or 0) or 0) + 1)
      if fence ~= tonumber(us) then
        redis.call('SET', KEYS[2], string.format('%.0f', fence), 'PX', '${fenceLifetimeMs}')
      end
      -- Last: a counter of another type must not leave a lock behind that nobody holds.
      redis.call('SET', KEYS[1], owner, 'PX', ttlMs)
      return { 1, fence }
    end

    local queueLeaseMs, leastFence = tonumber(ARGV[3]), tonumber(ARGV[5])
    local claimMs, wake, publish = ARGV[4], ARGV[6], ARGV[7]
    ${handOffLua}

    if holder == owner then
      redis.call('PEXPIRE', KEYS[1], ttlMs)
      local fence = tonumber(redis.call('GET', KEYS[2]) or 0) or 0
      if fence == 0 or fence < leastFence then fence = mint(leastFence) end
      return { 1, fence }
    end

    if not holder then
      holder = handOff(owner)
      if not holder then
        local fence = mint(leastFence)
        redis.call('SET', KEYS[1], owner, 'PX', ttlMs)
        return { 1, fence }
      end
    end

    local first = 0
    if queueLeaseMs > 0 then first = enqueue(owner, queueLeaseMs) end
    return { 0, redis.call('PTTL', KEYS[1]), ms, holder, first }`,
  parse: parseAcquireReply,
});

/** One attempt of `owner`; see {@link acquireScript}. */
export function acquire(runtime: LockRuntime, keys: LockKeys, request: AcquireRequest): Promise<AcquireReply> {
  const { owner, ttlMs, queue, leastFence } = request;
  const { queueLeaseMs, claimTtlMs } = runtime.options;
  return runtime.run('lock.acquire', ttlMs, acquireScript, scriptKeys(keys), [
    owner,
    ttlMs,
    queue ? queueLeaseMs : 0,
    claimTtlMs,
    leastFence,
    keys.wake,
    runtime.publishCommand,
  ]);
}
