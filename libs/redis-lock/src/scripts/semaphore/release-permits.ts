import { defineScript } from '@redstart/redis-core';
import { semaphoreScriptKeys, type SemaphoreKeys } from '../../keys.js';
import type { LockRuntime } from '../../lock-runtime.js';
import { permitsLua } from './permits.js';

export interface ReturnPermitsRequest {
  readonly owner: string;
  readonly ttlMs: number;
  readonly count: number;
  readonly limit: number;
}

/**
 * Puts an owner's permits back, and gives them to those who wait; or keeps them out for a while, and no longer.
 *
 * KEYS  permits, fence, queue, waiters, limit
 * ARGV  owner, claimMs, wake, publish, count, limit (if none is in force any more), keepMs (0: put them back now)
 * Returns  1 released · 0 their lease was over (nothing was changed)
 */
export const releasePermitsScript = defineScript({
  name: 'lock:release-permits',
  keys: 5,
  flags: ['allow-oom'],
  lua: `
    local owner, claimMs, wake, publish = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
    local count, limit, keepMs = tonumber(ARGV[5]), tonumber(redis.call('GET', KEYS[5]) or ARGV[6]), tonumber(ARGV[7])
    ${permitsLua}

    if not holds(owner) then return 0 end
    if keepMs > 0 then
      enter(owner, count, ARGV[7])
      return 1
    end
    drop(owner, count)
    admit()
    return 1`,
  parse: (reply) => reply === 1,
});

/**
 * Leaves no trace of an owner: takes it out of the queue, puts permits back that it was given meanwhile, and lets those in whom it kept waiting.
 *
 * KEYS  permits, fence, queue, waiters, limit
 * ARGV  owner, claimMs, wake, publish, count, limit (if none is in force any more)
 * Returns  1 there was a trace · 0 there was none (of this owner nothing was changed)
 */
export const giveUpPermitsScript = defineScript({
  name: 'lock:give-up-permits',
  keys: 5,
  flags: ['allow-oom'],
  lua: `
    local owner, claimMs, wake, publish = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
    local count, limit = tonumber(ARGV[5]), tonumber(redis.call('GET', KEYS[5]) or ARGV[6])
    ${permitsLua}

    local waited = leave(ARGV[5] .. ' ' .. owner)
    local held = drop(owner, count)
    admit()
    return (waited or held) and 1 or 0`,
  parse: (reply) => reply === 1,
});

/** Whether the permits of `owner` were out until now; see {@link releasePermitsScript}. */
export function releasePermits(
  runtime: LockRuntime,
  keys: SemaphoreKeys,
  { owner, ttlMs, count, limit }: ReturnPermitsRequest,
  keepMs: number,
): Promise<boolean> {
  const args = [owner, runtime.options.claimTtlMs, keys.wake, runtime.publishCommand, count, limit, keepMs];
  return runtime.run('lock.release-permits', ttlMs, releasePermitsScript, semaphoreScriptKeys(keys), args);
}

/** Whether there was a trace of `owner`; see {@link giveUpPermitsScript}. */
export function giveUpPermits(
  runtime: LockRuntime,
  keys: SemaphoreKeys,
  { owner, ttlMs, count, limit }: ReturnPermitsRequest,
): Promise<boolean> {
  const args = [owner, runtime.options.claimTtlMs, keys.wake, runtime.publishCommand, count, limit];
  return runtime.run('lock.give-up-permits', ttlMs, giveUpPermitsScript, semaphoreScriptKeys(keys), args);
}
