import { defineScript } from '@redstart/redis-core';
import { currentFormat, versionsLength, writeVersions, type HeldVersions } from '../entry/envelope.js';
import type { Lifetime } from '../entry/lifetime.js';
import { eachLua, repliesOf } from './each.js';
import { tellLua } from './wake.js';

/** What is written under a key. */
export interface NewEntry {
  readonly payload: Buffer;
  readonly lifetime: Lifetime;
  readonly under: HeldVersions;
}

/** A load that has opened a lease. */
export interface OpenLease {
  readonly token: string;
  /** When its load began, by the server's clock. */
  readonly startedAtMicros: number;
}

/**
 * Stores entries, and ends the loads of their values that are under way: what those have read may be older than this.
 *
 * With a token an entry is stored only while the lease holds that token, so nothing has changed or deleted the value since the load began. A key
 * that holds another type is somebody else's: GETRANGE says WRONGTYPE, and nothing is changed.
 *
 * KEYS  of each entry: value, lease
 * ARGV  the command and the channel that tell who waits, then of each entry: token or '', and its bytes: livesMs, freshMs, endsMs (6 bytes each), slidingMs, loadMs
 *       (4 each), createdMs or 0 for now (6), how many namespaces, how many tags (1 each), their versions, the payload
 * Returns  of each entry: 1 stored · 0 the lease is gone (nothing was changed) · {'error'} where it can't be stored together with others (nothing was changed)
 */
export const storeScript = defineScript<readonly (boolean | undefined)[]>({
  name: 'cache:store',
  keys: 'any',
  lua: `${tellLua(1)}
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    local function one(at)
      local value, lease = KEYS[2 * at - 1], KEYS[2 * at]
      local token, bytes = ARGV[2 * at + 1], ARGV[2 * at + 2]
      local held = redis.call('GET', lease)
      if token ~= '' and (not held or string.sub(held, 2) ~= token) then
        tell('gone', value)
        return 0
      end
      redis.call('GETRANGE', value, 0, 0)
      local lives, fresh, ends, sliding, load, created, namespaces, tags = struct.unpack('>I6I6I6I4I4I6BB', bytes)
      if created == 0 then created = now end
      local header = struct.pack('>BBBBI6I6I6I4I4', ${currentFormat}, namespaces, tags, 0, created, now + fresh, now + ends, load, sliding)
      redis.call('SET', value, header .. string.sub(bytes, 35), 'PX', string.format('%.0f', lives))
      if held then
        redis.call('DEL', lease)
        if string.sub(held, 1, 1) == '+' then tell('stored', value) end
      end
      return 1
    end
    ${eachLua}
    return replies`,
  parse: (reply) => repliesOf(reply).map((one) => (typeof one === 'number' ? one === 1 : undefined)),
});

const fixedBytes = 34;
const largestLoadMs = 0xffffffff;

/** An entry as the script takes it. @param lease without it the entry is stored in any case */
export function storedBytes(entry: NewEntry, lease?: OpenLease & { readonly loadMs: number }): Buffer {
  const { payload, lifetime, under } = entry;
  const bytes = Buffer.allocUnsafe(fixedBytes + versionsLength(under) + payload.length);
  let at = bytes.writeUIntBE(lifetime.livesMs, 0, 6);
  at = bytes.writeUIntBE(lifetime.freshMs, at, 6);
  at = bytes.writeUIntBE(lifetime.endsMs, at, 6);
  at = bytes.writeUInt32BE(lifetime.slidingMs, at);
  at = bytes.writeUInt32BE(Math.min(largestLoadMs, Math.ceil(lease?.loadMs ?? 0)), at);
  at = bytes.writeUIntBE(lease === undefined ? 0 : Math.floor(lease.startedAtMicros / 1_000), at, 6);
  at = bytes.writeUInt8(under.namespaces.length, at);
  at = bytes.writeUInt8(under.tags.length, at);
  payload.copy(bytes, writeVersions(bytes, at, under));
  return bytes;
}
