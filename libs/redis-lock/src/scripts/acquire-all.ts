import { defineScript } from '@redstart/redis-core';
import { scriptKeys, type LockKeys } from '../keys.js';
import type { LockRuntime } from '../lock-runtime.js';
import { fenceLifetimeMs } from './grant.js';

export type AcquireAllReply =
  | { readonly acquired: true; readonly fencingToken: number }
  | {
      readonly acquired: false;
      /** Which of the locks is in the way, by its place in the list. */
      readonly at: number;
      /** Who holds it; `undefined` when it is free, but others wait for it. */
      readonly holder: string | undefined;
    };

/**
 * Takes several free locks at once, or none of them. Whoever holds some of them already keeps those. May be repeated with the same owner.
 *
 * A lock that others wait for counts as taken: who of them still lives, the acquire script finds out.
 *
 * KEYS  holder, fence, queue, waiters of each lock
 * ARGV  owner, ttlMs
 * Returns  {1, fencing token of all} acquired · {0, index from 0, owner or false} held, or waited for, by somebody else (nothing was changed)
 */
export const acquireAllScript = defineScript<AcquireAllReply>({
  name: 'lock:acquire-all',
  keys: 'any',
  lua: `
    local owner, ttlMs = ARGV[1], ARGV[2]
    for at = 1, #KEYS, 4 do
      local holder = redis.call('GET', KEYS[at])
      if holder and holder ~= owner then return { 0, (at - 1) / 4, holder } end
      if not holder and redis.call('EXISTS', KEYS[at + 2]) == 1 then return { 0, (at - 1) / 4, false } end
    end

    local time = redis.call('TIME')
    local fence = time[1] * 1000000 + time[2]
    for at = 1, #KEYS, 4 do
      local last = tonumber(redis.call('GET', KEYS[at + 1]) or 0) or 0
      if last >= fence then fence = last + 1 end
    end
    for at = 1, #KEYS, 4 do
      redis.call('SET', KEYS[at + 1], string.format('%.0f', fence), 'PX', ${fenceLifetimeMs})
      redis.call('SET', KEYS[at], owner, 'PX', ttlMs)
    end
    return { 1, fence }`,
  parse: (reply) => {
    const [acquired, fenceOrIndex, holder] = reply as readonly unknown[];
    return acquired === 1
      ? { acquired: true, fencingToken: Number(fenceOrIndex) }
      : { acquired: false, at: Number(fenceOrIndex), holder: typeof holder === 'string' ? holder : undefined };
  },
});

/** One attempt of `owner` at all of these locks, whose keys share a slot; see {@link acquireAllScript}. */
export function acquireAll(
  runtime: LockRuntime,
  locks: readonly LockKeys[],
  owner: string,
  ttlMs: number,
): Promise<AcquireAllReply> {
  return runtime.run('lock.acquire-all', ttlMs, acquireAllScript, locks.flatMap(scriptKeys), [owner, ttlMs]);
}
