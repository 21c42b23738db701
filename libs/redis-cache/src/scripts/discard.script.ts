import { createHash } from 'node:crypto';
import { defineScript, type RedisCall, type ScriptRunner } from '@redstart/redis-core';

/**
 * Deletes bytes that can't be read, unless somebody has replaced them by now.
 *
 * KEYS  value
 * ARGV  sha1 of the bytes
 * Returns  1 deleted · 0 something else is there (nothing was changed)
 */
const discardScript = defineScript({
  name: 'cache:discard',
  keys: 1,
  flags: ['allow-oom'],
  lua: `
    local value = redis.call('GET', KEYS[1])
    if value and redis.sha1hex(value) == ARGV[1] then return redis.call('UNLINK', KEYS[1]) end
    return 0`,
  parse: (reply) => reply === 1,
});

export function discardBytes(scripts: ScriptRunner, call: RedisCall, key: string, bytes: Buffer): Promise<boolean> {
  return scripts.run(call, discardScript, [key], [createHash('sha1').update(bytes).digest('hex')]);
}
