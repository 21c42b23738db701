import { defineScript } from '@redstart/redis-core';
import type { LockKeys } from '../keys.js';
import type { LockRuntime } from '../lock-runtime.js';
import { fenceLifetimeMs } from './grant.js';

export interface TakeEntry {
  readonly keys: LockKeys;
  readonly owner: string;
}

/**
 * Takes those of some locks that are free and that nobody waits for, each for an owner of its own. Nothing else is changed: about the others
 * the acquire script decides.
 *
 * KEYS  holder, fence, queue of each lock
 * ARGV  ttlMs, then the owner of each lock
 * Returns  for each lock: its fencing token · 0 not taken
 */
export const takeScript = defineScript<readonly number[]>({
  name: 'lock:take',
  keys: 'any',
  lua: `
    local time = redis.call('TIME')
    local us = time[1] .. string.sub('00000' .. time[2], -6)
    local now = tonumber(us)
    local fences = {}
    for place = 1, #ARGV - 1 do
      local at = 3 * place - 2
      if redis.call('EXISTS', KEYS[at], KEYS[at + 2]) > 0 then
        fences[place] = 0
      else
        -- A counter of another type is an error of this lock alone.
        local last = redis.pcall('SET', KEYS[at + 1], us, 'PX', '${fenceLifetimeMs}', 'GET')
        if type(last) == 'table' then
          fences[place] = 0
        else
          local fence = math.max(now, (tonumber(last or 0) or 0) + 1)
          if fence ~= now then
            redis.call('SET', KEYS[at + 1], string.format('%.0f', fence), 'PX', '${fenceLifetimeMs}')
          end
          redis.call('SET', KEYS[at], ARGV[place + 1], 'PX', ARGV[1])
          fences[place] = fence
        end
      end
    end
    return fences`,
  parse: (reply) => (reply as readonly unknown[]).map(Number),
});

/** For each entry its fencing token, or 0; see {@link takeScript}. The keys share a slot. */
export function take(runtime: LockRuntime, entries: readonly TakeEntry[], ttlMs: number): Promise<readonly number[]> {
  const keys = entries.flatMap(({ keys: { holder, fence, queue } }) => [holder, fence, queue]);
  const args = [ttlMs, ...entries.map(({ owner }) => owner)];
  return runtime.run('lock.take', ttlMs, takeScript, keys, args);
}
