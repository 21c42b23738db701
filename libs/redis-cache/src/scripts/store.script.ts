import { defineScript, type RedisCall, type ScriptRunner } from '@redstart/redis-core';
import { currentFormat } from '../entry/envelope.js';
import type { EntryKeys } from '../keys.js';

/** What is written under a key. */
export interface NewEntry {
  readonly payload: Buffer;
  readonly ttlMs: number;
}

/** A load that has opened a lease. */
export interface OpenLease {
  readonly token: string;
  /** When its load began, by the server's clock. */
  readonly startedAtMs: number;
}

/**
 * Stores an entry, and ends the loads under way: what they have read may be older than this.
 *
 * With a token it stores only while the lease holds that token, so nothing has changed or deleted the value since the load began. A key
 * that holds another type is somebody else's: WRONGTYPE, and nothing is changed.
 *
 * KEYS  value, lease
 * ARGV  token or '', ttlMs, createdMs or '' (now), payload
 * Returns  1 stored · 0 the lease is gone (nothing was changed)
 */
const storeScript = defineScript({
  name: 'cache:store',
  keys: 2,
  lua: `
    if ARGV[1] ~= '' and redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
    local type = redis.call('TYPE', KEYS[1]).ok
    if type ~= 'string' and type ~= 'none' then
      return redis.error_reply('WRONGTYPE Operation against a key holding the wrong kind of value')
    end
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    local header = struct.pack('>BBI6I6', ${currentFormat}, 0, tonumber(ARGV[3]) or now, now + tonumber(ARGV[2]))
    redis.call('SET', KEYS[1], header .. ARGV[4], 'PX', ARGV[2])
    redis.call('DEL', KEYS[2])
    return 1`,
  parse: (reply) => reply === 1,
});

/** @param lease without it the entry is stored in any case */
export function storeEntry(
  scripts: ScriptRunner,
  call: RedisCall,
  at: EntryKeys,
  { payload, ttlMs }: NewEntry,
  lease?: OpenLease,
): Promise<boolean> {
  return scripts.run(
    call,
    storeScript,
    [at.value, at.lease],
    [lease?.token ?? '', ttlMs, lease?.startedAtMs ?? '', payload],
  );
}
