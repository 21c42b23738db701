import { defineScript } from '@redstart/redis-core';
import { epochKey, fencedKeys, type LockKeys } from '../../keys.js';
import type { LockRuntime } from '../../lock-runtime.js';
import { tokenLength } from '../../owner.js';
import { fenceLifetimeMs } from '../../scripts/grant.js';

/** An epoch that nobody has asked for so long is forgotten; the next lock then waits for the delay, as at a new node. */
const epochLifetimeMs = 30 * 86_400_000;

export type NodeReply =
  | {
      readonly acquired: true;
      /** No token that this node knows is higher, and its clock in us is not. */
      readonly fence: number;
    }
  | {
      readonly acquired: false;
      /** For how long the node still takes no part, because it remembers nothing of the time before; 0 when it does. */
      readonly absentMs: number;
      /** Which of the locks is in the way, by its place in the list. */
      readonly at: number;
      /** Who holds it; `undefined` when nobody does, but somebody did since the fencing token was given out. */
      readonly holder: string | undefined;
    };

/**
 * One node's vote: takes all of these locks there, or none. Whoever has them already gets a full lease again. A round of a call takes the place of an
 * earlier round of the same call, never of a later one: its owner is the same but for a number that rises.
 *
 * A node that has lost its memory gives no vote for `restartMs`: every lock that it may have forgotten has lapsed by then.
 *
 * With a fencing token, what an owner has elsewhere is taken here as well, and the token is remembered; but not when this node has seen a higher one: then
 * somebody else has won meanwhile.
 *
 * KEYS  epoch, then holder, fence of each lock
 * ARGV  owner, ttlMs, fencing token (0: not known yet, none is written), restartMs (0: no epoch is kept)
 * Returns  {1, max(last fencing tokens, server time in us)} acquired · {0, index from 0, holder or false} not acquired · {2, ms} takes no part for so
 *          long (no lock was changed)
 */
export const quorumAcquireScript = defineScript<NodeReply>({
  name: 'lock:quorum-acquire',
  keys: 'any',
  lua: `
    local owner, ttlMs, fence = ARGV[1], ARGV[2], tonumber(ARGV[3])
    local call = string.sub(owner, 1, ${tokenLength})
    local time = redis.call('TIME')
    local us = time[1] * 1000000 + time[2]

    local restartMs = tonumber(ARGV[4])
    if restartMs > 0 then
      local ms = math.floor(us / 1000)
      local since = tonumber(redis.call('GET', KEYS[1]) or '')
      if not since or since > ms then
        since = ms
        redis.call('SET', KEYS[1], string.format('%.0f', ms), 'PX', ${epochLifetimeMs})
      elseif redis.call('PTTL', KEYS[1]) < ${epochLifetimeMs / 2} then
        redis.call('PEXPIRE', KEYS[1], ${epochLifetimeMs})
      end
      if fence == 0 and ms < since + restartMs then return { 2, since + restartMs - ms } end
    end

    local last = 0
    for at = 2, #KEYS, 2 do
      local holder = redis.call('GET', KEYS[at])
      local earlier = holder and string.sub(holder, 1, ${tokenLength}) == call and holder <= owner
      if holder and not earlier then return { 0, at / 2 - 1, holder } end
      last = math.max(last, tonumber(redis.call('GET', KEYS[at + 1]) or 0) or 0)
    end
    if fence > 0 and last > fence then return { 0, 0, false } end

    for at = 2, #KEYS, 2 do
      redis.call('SET', KEYS[at], owner, 'PX', ttlMs)
      if fence > 0 then redis.call('SET', KEYS[at + 1], ARGV[3], 'PX', ${fenceLifetimeMs}) end
    end
    return { 1, math.max(last, us) }`,
  parse: (reply) => {
    const [kind, number, holder] = reply as readonly unknown[];
    if (kind === 1) return { acquired: true, fence: Number(number) };
    if (kind === 2) return { acquired: false, absentMs: Number(number), at: 0, holder: undefined };
    return {
      acquired: false,
      absentMs: 0,
      at: Number(number),
      holder: typeof holder === 'string' ? holder : undefined,
    };
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
  const keys = [epochKey(node.connection.keys), ...locks.flatMap(fencedKeys)];
  const { restartDelayMs } = node.options;
  return node.run('lock.quorum-acquire', ttlMs, quorumAcquireScript, keys, [owner, ttlMs, fence, restartDelayMs]);
}
