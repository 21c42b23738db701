import { defineScript, RedisCommandError } from '@redstart/redis-core';
import type { LockRuntime } from '../lock-runtime.js';

export interface ExtendEntry {
  readonly key: string;
  readonly owner: string;
  readonly ttlMs: number;
}

/**
 * Gives the owners of some locks a full lease from now. Never adds to what is left, and never creates a lock that is gone.
 *
 * KEYS  any number of holders
 * ARGV  ttlMs, then the owner of each key
 * Returns  for each key: 1 extended · 0 not held any more (nothing was changed) · the text of an error of this key alone
 */
export const extendScript = defineScript<readonly (boolean | RedisCommandError)[]>({
  name: 'lock:extend',
  keys: 'any',
  flags: ['allow-oom'],
  lua: `
    local replies = {}
    for index, key in ipairs(KEYS) do
      local owner = redis.pcall('GET', key)
      if type(owner) == 'table' then
        replies[index] = owner.err
      elseif owner == ARGV[index + 1] then
        replies[index] = redis.call('PEXPIRE', key, ARGV[1])
      else
        replies[index] = 0
      end
    end
    return replies`,
  parse: (replies) =>
    (replies as readonly unknown[]).map((reply) =>
      typeof reply === 'string'
        ? new RedisCommandError(`lock.extend: ${reply}`, reply.split(' ', 1).join())
        : reply === 1,
    ),
});

/** For each entry whether its owner still held the lock, or why Redis can't tell; see {@link extendScript}. The keys share a slot. */
export function extendAll(
  runtime: LockRuntime,
  entries: readonly ExtendEntry[],
  ttlMs: number,
): Promise<readonly (boolean | RedisCommandError)[]> {
  const keys = entries.map(({ key }) => key);
  const args = [ttlMs, ...entries.map(({ owner }) => owner)];
  return runtime.run('lock.extend', ttlMs, extendScript, keys, args);
}
