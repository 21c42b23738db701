import { defineScript, type RedisCall, type ScriptRunner } from '@redstart/redis-core';
import type { EntryKeys } from '../keys.js';

/** A value that somebody has stored in the meantime, or the right to store one. */
export type LeaseReply =
  { readonly found: Buffer } | { readonly found: undefined; readonly token: string; readonly startedAtMs: number };

/**
 * Opens a load. Loads of several processes share one lease: whoever ends first stores, and what deletes the lease makes all of them stale.
 *
 * KEYS  value, lease
 * ARGV  token, leaseMs
 * Returns  {value} it is there by now · {nil, token, ms} the lease's token (of an earlier load, or the one given) and the server's time
 */
const leaseScript = defineScript<LeaseReply>({
  name: 'cache:lease',
  keys: 2,
  buffers: true,
  lua: `
    local value = redis.call('GET', KEYS[1])
    if value then return { value } end
    local token = redis.call('GET', KEYS[2]) or ARGV[1]
    redis.call('SET', KEYS[2], token, 'PX', ARGV[2])
    local time = redis.call('TIME')
    return { false, token, string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)) }`,
  parse: parseLease,
});

export function openLease(
  scripts: ScriptRunner,
  call: RedisCall,
  at: EntryKeys,
  token: string,
  leaseMs: number,
): Promise<LeaseReply> {
  return scripts.run(call, leaseScript, [at.value, at.lease], [token, leaseMs]);
}

function parseLease(reply: unknown): LeaseReply {
  const [found, token, startedAt] = Array.isArray(reply) ? (reply as unknown[]) : [];
  if (Buffer.isBuffer(found)) return { found };
  if (!Buffer.isBuffer(token) || !Buffer.isBuffer(startedAt)) throw new TypeError('cache:lease: unexpected reply');
  return { found: undefined, token: token.toString(), startedAtMs: Number(startedAt.toString()) };
}
