import { defineScript } from '@redstart/redis-core';

/** The version that is there, as two numbers (`hard` nil when there is none), and the time in microseconds. */
const readLua = `
    local stored = redis.call('GET', KEYS[1]) or ''
    local hard, soft = string.match(stored, '^(%d+):?(%d*)$')
    hard, soft = tonumber(hard), tonumber(soft)
    local time = redis.call('TIME')
    local now = time[1] * 1000000 + time[2]`;

/** A version, and what the clock of its node said when it was read. */
export interface ReadVersion {
  readonly stored: Buffer;
  readonly nowMicros: number;
}

/**
 * Makes sure that a version is there, and lives on. The soft part of a new one equals its hard part, as that of no other does.
 *
 * KEYS  version
 * ARGV  ttlMs
 * Returns  {the version, the time in microseconds}
 */
export const ensureVersionScript = defineScript<ReadVersion>({
  name: 'cache:version',
  keys: 1,
  buffers: true,
  lua: `${readLua}
    local micros = string.format('%.0f', now)
    if hard then
      redis.call('PEXPIRE', KEYS[1], ARGV[1])
      return { stored, micros }
    end
    local version = micros .. ':' .. micros
    redis.call('SET', KEYS[1], version, 'PX', ARGV[1])
    return { version, micros }`,
  parse: (reply) => {
    const [stored, micros] = Array.isArray(reply) ? (reply as readonly unknown[]) : [];
    return { stored: parseText(stored), nowMicros: Number(parseText(micros).toString()) };
  },
});

/**
 * Raises a version: whatever was loaded under an earlier one is never served again.
 *
 * KEYS  version
 * ARGV  ttlMs
 * Returns  the new version
 */
export const bumpVersionScript = defineScript({
  name: 'cache:bump',
  keys: 1,
  buffers: true,
  flags: ['allow-oom'],
  lua: `${readLua}
    local version = string.format('%.0f', math.max((hard or 0) + 1, now))
    redis.call('SET', KEYS[1], version, 'PX', ARGV[1])
    return version`,
  parse: parseText,
});

/**
 * Raises the soft part of a version: whatever was loaded before is stale. Where there was none, too, it differs from the hard part: a load that is under way may be older.
 *
 * KEYS  version
 * ARGV  ttlMs
 * Returns  the new version
 */
export const markVersionScript = defineScript({
  name: 'cache:mark-tag',
  keys: 1,
  buffers: true,
  flags: ['allow-oom'],
  lua: `${readLua}
    hard, soft = hard or now, math.max((soft or 0) + 1, now)
    if soft == hard then soft = soft + 1 end
    local version = string.format('%.0f:%.0f', hard, soft)
    redis.call('SET', KEYS[1], version, 'PX', ARGV[1])
    return version`,
  parse: parseText,
});

function parseText(reply: unknown): Buffer {
  if (!Buffer.isBuffer(reply)) throw new TypeError('cache:version: unexpected reply');
  return reply;
}
