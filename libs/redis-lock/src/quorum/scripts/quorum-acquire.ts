import { defineScript } from '@redstart/redis-core';
import { fencedKeys, type LockKeys } from '../../keys.js';
import type { LockRuntime } from '../../lock-runtime.js';
import { tokenLength } from '../../owner.js';
import { fenceLifetimeMs } from '../../scripts/hand-off.js';

export type NodeReply =
  | {
      readonly acquired: true;
      /** No token that this node knows is higher, and its clock in us is not. */
      readonly fence: number;
    }
  | {
      readonly acquired: false;
      /** Which of the locks is in the way, by its place in the list. */
      readonly at: number;
      /** Who holds it; `undefined` when nobody does, but somebody did since the fencing token was given out. */
      readonly holder: string | undefined;
    };

/**
 * One node's vote: takes all of these locks there, or none. Whoever has them already gets a full lease again. A round of a call takes the place of an
 * earlier round of the same call, never of a later one: its owner is the same but for a number that rises.
 *
 * With a fencing token, what an owner has elsewhere is taken here as well, and the token is remembered; but not when this node has seen a higher one: then
 * somebody else has won meanwhile.
 *
 * KEYS  holder, fence of each lock
 * ARGV  owner, ttlMs, fencing token (0: not known yet, none is written)
 * Returns  {1, max(last fencing tokens, server time in us)} acquired · {0, index from 0, holder or false} not acquired (nothing was changed)
 */
export const quorumAcquireScript = defineScript<NodeReply>({
  name: 'lock:quorum-acquire',
  keys: 'any',
  lua: `
    local owner, ttlMs, fence = ARGV[1], ARGV[2], tonumber(ARGV[3])
    local call = string.sub(owner, 1, ${tokenLength})
    local last = 0
    for at = 1, #KEYS, 2 do
      local holder = redis.call('GET', KEYS[at])
      local earlier = holder and string.sub(holder, 1, ${tokenLength}) == call and holder <= owner
      if holder and not earlier then return { 0, (at - 1) / 2, holder } end
      last = math.max(last, tonumber(redis.call('GET', KEYS[at + 1]) or 0) or 0)
    end
    if fence > 0 and last > fence then return { 0, 0, false } end

    for at = 1, #KEYS, 2 do
      redis.call('SET', KEYS[at], owner, 'PX', ttlMs)
      if fence > 0 then redis.call('SET', KEYS[at + 1], ARGV[3], 'PX', ${fenceLifetimeMs}) end
    end
    local time = redis.call('TIME')
    return { 1, math.max(last, time[1] * 1000000 + time[2]) }`,
  parse: (reply) => {
    const [acquired, fenceOrIndex, holder] = reply as readonly unknown[];
    return acquired === 1
      ? { acquired: true, fence: Number(fenceOrIndex) }
      : { acquired: false, at: Number(fenceOrIndex), holder: typeof holder === 'string' ? holder : undefined };
  },
});

/** One vote of a node; see {@link quorumAcquireScript}. */
export function quorumAcquire(
  node: LockRuntime,
  locks: readonly LockKeys[],
  owner: string,
  ttlMs: number,
  fence: number,
): Promise<NodeReply> {
  return node.run('lock.quorum-acquire', ttlMs, quorumAcquireScript, locks.flatMap(fencedKeys), [owner, ttlMs, fence]);
}
