import { defineScript, type ScriptArgument } from '@redstart/redis-core';
import type { AcquireReply } from '../lease.js';
import type { LockRuntime } from '../lock-runtime.js';
import { eachLockLua, keysOfEach, type OwnedLock, type OwnedLocks } from './each-lock.js';
import { fenceLifetimeMs, mintLua, timeLua } from './grant.js';
import { passOnLua } from './hand-off.js';

/** What all locks of one script have in common. */
export interface AcquireTerms {
  readonly ttlMs: number;
  /** Take or keep a place in the queue when the lock is held. */
  readonly queue: boolean;
  /** The fencing token is to be at least this: for locks that are taken together. */
  readonly leastFence: number;
}

/** What the scripts of the other kinds of locks answer, which take something for one owner: {1, fencing token} or {0, lease left in ms, server ms, holder, 1 when next}. */
export function parseAcquireReply(reply: unknown): AcquireReply {
  const [acquired, ...rest] = reply as readonly unknown[];
  return acquired === 1 ? { acquired: true, fencingToken: Number(rest[0]) } : parseHeldReply(rest);
}

function parseHeldReply([leaseMs, serverMs, holder, first]: readonly unknown[]): AcquireReply {
  return {
    acquired: false,
    leaseMs: Number(leaseMs),
    serverMs: Number(serverMs),
    holder: String(holder),
    next: first === 1,
  };
}

/**
 * Takes each lock that is free, or a place in its queue. To be repeated as often as one likes with the same owner: who holds the lock already gets
 * the same answer and a full lease again, so a lost reply never blocks on its own key; who waits already keeps its place and stays alive.
 *
 * A free lock goes to the first waiter that can hear of it, and to the caller only when no such waiter stands before it. Nearly always nobody waits: that
 * way comes first and needs none of the functions of a queue, which cost more to define than all of its commands.
 *
 * KEYS  holder, fence, queue, waiters of each lock
 * ARGV  ttlMs, queueLeaseMs (0: don't queue), leastFence, claimMs, wake, publish, then the owner of each lock
 * Returns  for each lock: its fencing token, acquired · {lease left in ms, server ms, holder, 1 when next in the queue} held by somebody else ·
 *   nil as {@link eachLockLua} says
 */
export const acquireScript = defineScript<readonly (AcquireReply | undefined)[]>({
  name: 'lock:acquire',
  keys: 'any',
  lua: `
    local ttlMs, queueLeaseMs, leastFence = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
    ${timeLua}
    ${mintLua}

    local function serve(owner, at)
      if leastFence == 0 and redis.call('EXISTS', KEYS[at], KEYS[at + 2]) == 0 then
        local fence = mint(0, KEYS[at + 1])
        -- Last: a counter of another type must not leave a lock behind that nobody holds.
        redis.call('SET', KEYS[at], owner, 'PX', ttlMs)
        return fence
      end

      local KEYS = { KEYS[at], KEYS[at + 1], KEYS[at + 2], KEYS[at + 3] }
      local claimMs, wake, publish = ARGV[4], ARGV[5], ARGV[6]
      ${passOnLua}

      local holder = redis.call('GET', KEYS[1])
      if holder == owner then
        redis.call('PEXPIRE', KEYS[1], ttlMs)
        local fence = tonumber(redis.call('GET', KEYS[2]) or 0) or 0
        if fence < leastFence then
          -- No newer one, which the other locks that are taken together would not know of.
          fence = leastFence
          redis.call('SET', KEYS[2], text(fence), 'PX', '${fenceLifetimeMs}')
        elseif fence == 0 then
          fence = mint(0, KEYS[2])
        end
        return fence
      end

      if not holder then
        holder = handOff(owner)
        if not holder then
          local fence = mint(leastFence, KEYS[2])
          redis.call('SET', KEYS[1], owner, 'PX', ttlMs)
          return fence
        end
      end

      local first = 0
      if queueLeaseMs > 0 then first = enqueue(owner, queueLeaseMs) end
      return { redis.call('PTTL', KEYS[1]), ms, holder, first }
    end
    ${eachLockLua(7)}`,
  parse: (replies) => (replies as readonly unknown[]).map(parseReply),
});

function parseReply(reply: unknown): AcquireReply | undefined {
  if (reply === null) return undefined;
  return Array.isArray(reply) ? parseHeldReply(reply) : { acquired: true, fencingToken: Number(reply) };
}

/** One attempt of each owner at its lock; see {@link acquireScript}. */
export function acquire(runtime: LockRuntime, locks: OwnedLocks, terms: AcquireTerms) {
  const args = argsOf(runtime, locks, terms);
  return runtime.send('lock.acquire', terms.ttlMs, acquireScript, keysOfEach(locks), args);
}

/** One more attempt of an owner that has it already, for a fencing token of at least so much; see {@link acquireScript}. */
export async function reacquire(
  runtime: LockRuntime,
  lock: OwnedLock,
  ttlMs: number,
  leastFence: number,
): Promise<AcquireReply> {
  const args = argsOf(runtime, [lock], { ttlMs, queue: false, leastFence });
  const [reply] = await runtime.run('lock.acquire', ttlMs, acquireScript, keysOfEach([lock]), args);
  if (reply === undefined) throw new TypeError(`Nothing was answered about "${lock.keys.holder}".`);
  return reply;
}

function argsOf({ options, publishCommand }: LockRuntime, locks: OwnedLocks, terms: AcquireTerms): ScriptArgument[] {
  const { ttlMs, queue, leastFence } = terms;
  const queueLeaseMs = queue ? options.queueLeaseMs : 0;
  const owners = locks.map(({ owner }) => owner);
  return [ttlMs, queueLeaseMs, leastFence, options.claimTtlMs, locks[0].keys.wake, publishCommand, ...owners];
}
