import { defineScript } from '@redstart/redis-core';
import type { LockRuntime } from '../lock-runtime.js';
import type { TakeEntry } from './take.js';

/**
 * Frees those of some locks that their owners still hold and that nobody waits for. About the others the release script decides.
 *
 * KEYS  holder, queue of each lock
 * ARGV  the owner of each lock
 * Returns  for each lock: 1 released · 0 nothing was changed
 */
export const freeScript = defineScript<readonly boolean[]>({
  name: 'lock:free',
  keys: 'any',
  flags: ['allow-oom'],
  lua: `
    local freed = {}
    for place = 1, #ARGV do
      local at = 2 * place - 1
      if redis.call('EXISTS', KEYS[at + 1]) == 1 or redis.pcall('GET', KEYS[at]) ~= ARGV[place] then
        freed[place] = 0
      else
        freed[place] = redis.call('DEL', KEYS[at])
      end
    end
    return freed`,
  parse: (reply) => (reply as readonly unknown[]).map((freed) => freed === 1),
});

/** Whether each lock was freed; see {@link freeScript}. The keys share a slot. */
export function free(runtime: LockRuntime, entries: readonly TakeEntry[], ttlMs: number): Promise<readonly boolean[]> {
  const keys = entries.flatMap(({ keys: { holder, queue } }) => [holder, queue]);
  return runtime.run(
    'lock.free',
    ttlMs,
    freeScript,
    keys,
    entries.map(({ owner }) => owner),
  );
}
