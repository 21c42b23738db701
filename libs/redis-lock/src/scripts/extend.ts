import { defineScript, RedisCommandError, type ScriptArgument } from '@redstart/redis-core';
import type { LockRuntime } from '../lock-runtime.js';
import { timeLua } from './grant.js';
import { leaseSetLua } from './lease-set.js';

export interface ExtendEntry {
  readonly key: string;
  readonly owner: string;
  readonly ttlMs: number;
  /**
   * Set where several have a lease of `key` at a time, which is a set then: a reader, or who has some of the permits that `limit` is the number of.
   * @default the owner alone, who stands in `key`
   */
  readonly among?: 'readers' | { readonly permits: number; readonly limit: string };
}

/**
 * Gives some owners a full lease from now, of whatever kind: as the holder of a mutex or the writer, as one of the readers, or of their permits. Never adds to
 * what is left, and never creates what is gone. The leases of others stay as they are.
 *
 * Each by itself: what Redis has against one of them, a key of another type for instance, keeps no other from its lease.
 *
 * KEYS  of each lease: holder · or readers · or permits, limit
 * ARGV  ttlMs, then of each lease: owner, how (`holder`, `reader`, or the number of its permits)
 * Returns  for each lease: 1 extended · 0 not held any more (nothing was changed) · the text of an error of this one alone
 */
export const extendScript = defineScript<readonly (boolean | RedisCommandError)[]>({
  name: 'lock:extend',
  keys: 'any',
  flags: ['allow-oom'],
  lua: `
    local ttlMs = ARGV[1]

    local function extendHolder(key, owner)
      if redis.call('GET', key) ~= owner then return 0 end
      return redis.call('PEXPIRE', key, ttlMs)
    end

    -- Only what has shared leases needs the time, and these functions.
    local function defineExtendMembers()
      ${timeLua}
      ${leaseSetLua}
      return function(key, members)
        if tonumber(redis.call('ZSCORE', key, members[1]) or 0) <= ms then return 0 end
        local scored = {}
        for _, member in ipairs(members) do
          scored[#scored + 1] = text(ms + ttlMs)
          scored[#scored + 1] = member
        end
        redis.call('ZADD', key, unpack(scored))
        expire(key)
        return 1
      end
    end
    local extendMembers

    local function extendPermits(key, limit, owner, count)
      local members = {}
      for number = 1, count do members[number] = number .. ' ' .. owner end
      local extended = extendMembers(key, members)
      if extended == 1 then redis.call('PEXPIRE', limit, ttlMs, 'GT') end
      return extended
    end

    local replies, at = {}, 1
    for index = 2, #ARGV, 2 do
      local owner, how = ARGV[index], ARGV[index + 1]
      if how ~= 'holder' then extendMembers = extendMembers or defineExtendMembers() end
      local done, reply
      if how == 'holder' then
        done, reply = pcall(extendHolder, KEYS[at], owner)
      elseif how == 'reader' then
        done, reply = pcall(extendMembers, KEYS[at], { owner })
      else
        done, reply = pcall(extendPermits, KEYS[at], KEYS[at + 1], owner, tonumber(how))
        at = at + 1
      end
      at = at + 1
      if not done then reply = type(reply) == 'table' and reply.err or tostring(reply) end
      replies[#replies + 1] = reply
    end
    return replies`,
  parse: (replies) =>
    (replies as readonly unknown[]).map((reply) =>
      typeof reply === 'string'
        ? new RedisCommandError(`lock.extend: ${reply}`, reply.split(' ', 1).join())
        : reply === 1,
    ),
});

/** What {@link extendScript} is to be called with. */
export function extendCall(
  entries: readonly ExtendEntry[],
  ttlMs: number,
): { readonly keys: string[]; readonly args: ScriptArgument[] } {
  const keys: string[] = [];
  const args: ScriptArgument[] = [ttlMs];
  for (const { key, owner, among } of entries) {
    keys.push(key);
    if (typeof among === 'object') {
      keys.push(among.limit);
      args.push(owner, among.permits);
    } else {
      args.push(owner, among === 'readers' ? 'reader' : 'holder');
    }
  }
  return { keys, args };
}

/** For each entry whether its owner still had its lease, or why Redis can't tell; see {@link extendScript}. The keys share a slot. */
export function extendAll(
  runtime: LockRuntime,
  entries: readonly ExtendEntry[],
  { ttlMs, essential }: { readonly ttlMs: number; readonly essential: boolean },
): Promise<readonly (boolean | RedisCommandError)[]> {
  const { keys, args } = extendCall(entries, ttlMs);
  return runtime.run('lock.extend', ttlMs, extendScript, keys, args, essential);
}
