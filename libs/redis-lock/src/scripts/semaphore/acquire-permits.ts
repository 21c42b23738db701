import { defineScript } from '@redstart/redis-core';
import { semaphoreScriptKeys, type SemaphoreKeys } from '../../keys.js';
import type { AcquireReply } from '../../lease.js';
import { SemaphoreLimitError } from '../../semaphore/semaphore.errors.js';
import type { LockRuntime } from '../../lock-runtime.js';
import { parseAcquireReply } from '../acquire.js';
import { permitsLua } from './permits.js';

export interface AcquirePermitsRequest {
  readonly owner: string;
  readonly ttlMs: number;
  /** Take or keep a place in the queue when there are too few. */
  readonly queue: boolean;
  /** How many to take. */
  readonly count: number;
  /** How many there are. */
  readonly limit: number;
}

/**
 * Takes free permits, or a place in the queue. To be repeated as often as one likes with the same owner: who has its permits already gets a full lease
 * again and a newer fencing token; who waits already keeps its place and stays alive.
 *
 * The limit is that of the first caller for as long as any permit is out or anybody waits. Free permits go to those who wait first.
 *
 * KEYS  permits, fence, queue, waiters, limit
 * ARGV  owner, ttlMs, queueLeaseMs (0: don't queue), claimMs, wake, publish, count, limit
 * Returns  {1, fencing token} acquired · {0, ms until a lease in the way ends, server ms, owner of the permit that lapses first, 1 when next in the queue} too few
 *   are free · {-1, limit} another limit is in force (nothing was changed)
 */
export const acquirePermitsScript = defineScript<AcquireReply | { readonly limit: number }>({
  name: 'lock:acquire-permits',
  keys: 5,
  lua: `
    local claimMs, wake, publish, limit = ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[8])
    ${permitsLua}

    local owner, ttlMs, queueLeaseMs, count = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[7])
    local entry = ARGV[7] .. ' ' .. owner
    local inForce = tonumber(redis.call('GET', KEYS[5]) or 0)
    if inForce ~= limit then
      local alive = '(' .. text(ms)
      local inUse = redis.call('ZCOUNT', KEYS[1], alive, '+inf') + redis.call('ZCOUNT', KEYS[4], alive, '+inf') > 0
      -- Without one, it was evicted.
      if inUse and inForce > 0 then return { -1, inForce } end
      redis.call('SET', KEYS[5], limit, 'PX', ttlMs)
    end

    if holds(owner) then
      enter(owner, count, ttlMs)
      leave(entry)
      return { 1, mint(0) }
    end
    if admit(entry) >= count then
      -- First: a counter of another type must not leave permits out that nobody has.
      local fence = mint(0)
      enter(owner, count, ttlMs)
      leave(entry)
      admit()
      return { 1, fence }
    end

    local first = 0
    if queueLeaseMs > 0 then
      first = enqueue(entry, queueLeaseMs)
      redis.call('PEXPIRE', KEYS[5], text(queueLeaseMs * 2), 'GT')
    end
    local soonest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
    local leaseMs = soonest[2] - ms
    -- The first in the queue keeps the others waiting if it wants more than there is, also when it has died.
    local head = redis.call('LINDEX', KEYS[3], 0)
    local aliveMs = head and head ~= entry and (redis.call('ZSCORE', KEYS[4], head) or 0) - ms or 0
    if aliveMs > 0 then leaseMs = math.min(leaseMs, aliveMs) end
    return { 0, leaseMs, ms, string.match(soonest[1], ' (.*)$'), first }`,
  parse: (reply) => {
    const [code, limit] = reply as readonly unknown[];
    return code === -1 ? { limit: Number(limit) } : parseAcquireReply(reply);
  },
});

/**
 * One attempt of a caller; see {@link acquirePermitsScript}.
 * @throws SemaphoreLimitError
 */
export async function acquirePermits(
  runtime: LockRuntime,
  keys: SemaphoreKeys,
  { owner, ttlMs, queue, count, limit }: AcquirePermitsRequest,
): Promise<AcquireReply> {
  const { queueLeaseMs, claimTtlMs } = runtime.options;
  const reply = await runtime.run('lock.acquire-permits', ttlMs, acquirePermitsScript, semaphoreScriptKeys(keys), [
    owner,
    ttlMs,
    queue ? queueLeaseMs : 0,
    claimTtlMs,
    keys.wake,
    runtime.publishCommand,
    count,
    limit,
  ]);
  if ('limit' in reply) throw new SemaphoreLimitError(keys.permits, limit, reply.limit);
  return reply;
}
