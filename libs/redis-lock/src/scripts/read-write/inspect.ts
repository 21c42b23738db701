import { defineScript } from '@redstart/redis-core';
import { readWriteScriptKeys, type ReadWriteKeys } from '../../keys.js';
import type { LockRuntime } from '../../lock-runtime.js';

export interface InspectReadWriteReply {
  readonly writer: string | undefined;
  readonly readers: number;
  readonly leaseMs: number;
  readonly waitingWriters: number;
  readonly waitingReaders: number;
}

/**
 * Looks at a read/write lock without changing anything.
 *
 * KEYS  writer, fence, queue, waiters, readers, waiting readers
 * Returns  {writer or false, number of readers, longest lease left in ms, number of live waiting writers, of live waiting readers}
 */
export const inspectReadWriteScript = defineScript<InspectReadWriteReply>({
  name: 'lock:inspect-read-write',
  keys: 6,
  flags: ['no-writes'],
  lua: `
    local time = redis.call('TIME')
    local alive = '(' .. string.format('%.0f', math.floor(time[1] * 1000 + time[2] / 1000))
    local writer = redis.call('GET', KEYS[1])
    return {
      writer,
      redis.call('ZCOUNT', KEYS[5], alive, '+inf'),
      redis.call('PTTL', writer and KEYS[1] or KEYS[5]),
      redis.call('ZCOUNT', KEYS[4], alive, '+inf'),
      redis.call('ZCOUNT', KEYS[6], alive, '+inf')
    }`,
  parse: (reply) => {
    const [writer, readers, leaseMs, waitingWriters, waitingReaders] = reply as readonly unknown[];
    return {
      writer: typeof writer === 'string' ? writer : undefined,
      readers: Number(readers),
      leaseMs: Number(leaseMs),
      waitingWriters: Number(waitingWriters),
      waitingReaders: Number(waitingReaders),
    };
  },
});

/** What Redis knows of a read/write lock; see {@link inspectReadWriteScript}. */
export function inspectReadWrite(runtime: LockRuntime, keys: ReadWriteKeys): Promise<InspectReadWriteReply> {
  return runtime.run(
    'lock.inspect-read-write',
    runtime.options.ttlMs,
    inspectReadWriteScript,
    readWriteScriptKeys(keys),
    [],
  );
}
