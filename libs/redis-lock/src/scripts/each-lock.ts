import type { LockKeys } from '../keys.js';

/** As many locks as one script may serve, so that it never holds up the server. */
export const mostLocks = 32;

/**
 * Lua: ends a script that does the same for one lock or for many, each with an owner of its own. Expects KEYS holder, fence, queue, waiters of each lock, and
 * `serve(owner, at)` above it, where KEYS[at] is the holder. With many locks, one that fails (a key of another type) is answered with nil: only
 * asked for alone does it fail the script, and so get its error.
 *
 * @param firstOwner where in ARGV the owners begin
 */
export function eachLockLua(firstOwner: number): string {
  return `
    if #KEYS == 4 then return { serve(ARGV[${firstOwner}], 1) } end
    local replies = {}
    for place = 0, #KEYS / 4 - 1 do
      local served, reply = pcall(serve, ARGV[${firstOwner} + place], 4 * place + 1)
      replies[place + 1] = served and reply
    end
    return replies`;
}

/** What a script is to do for one owner at one lock. */
export interface OwnedLock {
  readonly keys: LockKeys;
  readonly owner: string;
}

/** One of them at least; they share a slot and the wake-up channel. */
export type OwnedLocks = readonly [OwnedLock, ...OwnedLock[]];

/** KEYS of such a script. */
export function keysOfEach(locks: OwnedLocks): string[] {
  const all: string[] = [];
  for (const { keys } of locks) all.push(keys.holder, keys.fence, keys.queue, keys.waiters);
  return all;
}
