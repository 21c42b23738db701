import { defineScript } from '@redstart/redis-core';
import type { ReadWriteKeys } from '../../keys.js';
import type { LockRuntime } from '../../lock-runtime.js';
import { timeLua } from '../grant.js';
import { leaseSetLua } from '../lease-set.js';

/**
 * Gives a reader a full lease from now, if it still has one. The leases of the others stay as they are.
 *
 * KEYS  readers
 * ARGV  owner, ttlMs
 * Returns  1 extended · 0 its lease is over (nothing was changed)
 */
export const extendReadScript = defineScript({
  name: 'lock:extend-read',
  keys: 1,
  flags: ['allow-oom'],
  lua: `
    ${timeLua}
    ${leaseSetLua}
    if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or 0) <= ms then return 0 end
    redis.call('ZADD', KEYS[1], text(ms + ARGV[2]), ARGV[1])
    expire(KEYS[1])
    return 1`,
  parse: (reply) => reply === 1,
});

/** Whether `owner` still read; see {@link extendReadScript}. */
export function extendRead(
  runtime: LockRuntime,
  { readers }: ReadWriteKeys,
  owner: string,
  ttlMs: number,
): Promise<boolean> {
  return runtime.run('lock.extend-read', ttlMs, extendReadScript, [readers], [owner, ttlMs]);
}
