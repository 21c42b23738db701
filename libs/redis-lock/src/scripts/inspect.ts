import { defineScript } from '@redstart/redis-core';
import { scriptKeys, type LockKeys } from '../keys.js';
import type { LockRuntime } from '../lock-runtime.js';

export interface InspectReply {
  readonly owner: string;
  readonly leaseMs: number;
  readonly serverMs: number;
  readonly fencingToken: number;
  readonly waiting: number;
}

/**
 * Looks at a lock without changing anything.
 *
 * KEYS  holder, fence, queue, waiters
 * Returns  false free · {owner, lease left in ms, server ms, last fencing token, number of live waiters}
 */
export const inspectScript = defineScript<InspectReply | undefined>({
  name: 'lock:inspect',
  keys: 4,
  flags: ['no-writes'],
  lua: `
    local owner = redis.call('GET', KEYS[1])
    if not owner then return false end
    local time = redis.call('TIME')
    local ms = string.format('%.0f', math.floor(time[1] * 1000 + time[2] / 1000))
    return {
      owner, redis.call('PTTL', KEYS[1]), ms, redis.call('GET', KEYS[2]) or 0, redis.call('ZCOUNT', KEYS[4], '(' .. ms, '+inf')
    }`,
  parse: (reply) => {
    if (!Array.isArray(reply)) return undefined;
    const [owner, leaseMs, serverMs, fencingToken, waiting] = reply as readonly unknown[];
    return {
      owner: String(owner),
      leaseMs: Number(leaseMs),
      serverMs: Number(serverMs),
      fencingToken: Number(fencingToken),
      waiting: Number(waiting),
    };
  },
});

/** What Redis knows of a held lock; see {@link inspectScript}. */
export function inspect(runtime: LockRuntime, keys: LockKeys): Promise<InspectReply | undefined> {
  return runtime.run('lock.inspect', runtime.options.ttlMs, inspectScript, scriptKeys(keys), []);
}
