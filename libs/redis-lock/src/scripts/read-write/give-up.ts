import { defineScript } from '@redstart/redis-core';
import { readWriteScriptKeys, type ReadWriteKeys } from '../../keys.js';
import type { LockRuntime } from '../../lock-runtime.js';
import { sidesLua } from './sides.js';

/**
 * Leaves no trace of an owner, on either side, and lets in whoever may come then: also readers that only waited because this writer did.
 *
 * KEYS  writer, fence, queue, waiters, readers, waiting readers
 * ARGV  owner, claimMs, wake, publish
 * Returns  1 there was a trace · 0 there was none (of this owner nothing was changed)
 */
export const giveUpReadWriteScript = defineScript({
  name: 'lock:give-up-read-write',
  keys: 6,
  flags: ['allow-oom'],
  lua: `
    local owner, claimMs, wake, publish = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
    ${sidesLua}

    local left = leave(owner)
    if redis.call('ZREM', KEYS[6], owner) == 1 then left = true end
    if redis.call('ZREM', KEYS[5], owner) == 1 then
      expire(KEYS[5])
      left = true
    end
    if redis.call('GET', KEYS[1]) == owner then
      redis.call('DEL', KEYS[1])
      left = true
    end
    admit()
    return left and 1 or 0`,
  parse: (reply) => reply === 1,
});

/** Whether there was a trace of `owner`; see {@link giveUpReadWriteScript}. */
export function giveUpReadWrite(
  runtime: LockRuntime,
  keys: ReadWriteKeys,
  owner: string,
  ttlMs: number,
): Promise<boolean> {
  const args = [owner, runtime.options.claimTtlMs, keys.wake, runtime.publishCommand];
  return runtime.run('lock.give-up-read-write', ttlMs, giveUpReadWriteScript, readWriteScriptKeys(keys), args);
}
