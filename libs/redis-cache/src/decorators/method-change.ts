import {
  InvalidKeyError,
  OptionsError,
  RedisCommandError,
  RedisUnavailableError,
  RedstartError,
  systemClock,
  UnsupportedValueError,
  Warnings,
  type Key,
  type MethodCall,
} from '@redstart/redis-core';
import { CacheTransactionError } from '../cache.errors.js';
import { CacheService } from '../cache.service.js';
import type { StoreOptions } from '../calls/call.options.js';
import { afterCommit, isInCommitScope, noteChange } from './commit-scope.js';

/** When a method has changed what the cache holds: each of them, and `'commit'` for the commit of the transaction around (see {@link commitScope}). */
export type ChangeMoment = 'success' | 'always' | 'commit';

/** What is to be evicted. */
export interface Eviction {
  readonly keys: readonly Key[];
  readonly tags: readonly Key[];
  readonly all: boolean;
}

const warnings = new WeakMap<CacheService, Warnings>();

/** Has to be known before the method runs: it can't be taken back. @throws CacheTransactionError */
export function checkMoment(cache: CacheService, moment: ChangeMoment, call: MethodCall, decorator: string): void {
  if (moment !== 'commit') return;
  // What stands in for a cache in a unit test can't go wrong.
  if (!isInCommitScope() && cache instanceof CacheService) {
    throw new CacheTransactionError(`${call.className}.${call.methodName}`, decorator);
  }
  noteChange();
}

/** Makes a change at its moment. */
export async function changeAt(moment: ChangeMoment, change: () => Promise<void>): Promise<void> {
  await (moment === 'commit' ? afterCommit(change) : change());
}

/**
 * Evicts. That Redis is down does not reject: the method has done its work, and the cache makes the eviction good as soon as it can.
 *
 * @see one UNLINK per key, one EVALSHA per tag, one to clear, in one system call
 */
export async function evict(cache: CacheService, { keys, tags, all }: Eviction): Promise<void> {
  const work = [
    ...(keys.length > 0 ? [cache.delete(...keys)] : []),
    ...(tags.length > 0 ? [cache.invalidateTags(...tags)] : []),
    ...(all ? [cache.clear()] : []),
  ];
  for (const outcome of await Promise.allSettled(work)) {
    if (outcome.status === 'rejected') tolerate(cache, outcome.reason, 'An eviction is made good later');
  }
}

/**
 * Stores the result of a method. Where that fails, what was there before is deleted: it is not true any more.
 *
 * @see the commands of `set`; then an UNLINK, where that has failed
 */
export async function put(cache: CacheService, key: Key, value: unknown, options: StoreOptions): Promise<void> {
  try {
    await cache.set(key, value, options);
  } catch (error) {
    await evict(cache, { keys: [key], tags: [], all: false });
    // Whatever else a getter or a `toJSON` throws says the same of the value.
    const isMistake = error instanceof OptionsError || error instanceof InvalidKeyError;
    const refusal = isMistake || isOurs(error) ? error : new UnsupportedValueError('The result can not be read.');
    tolerate(cache, refusal, 'A result is not stored, and the entry deleted instead');
  }
}

function tolerate(cache: CacheService, error: unknown, what: string): void {
  if (!isOurs(error)) throw error;
  const known = warnings.get(cache) ?? new Warnings('RedisCache', systemClock);
  warnings.set(cache, known);
  known.warn(`${what} ${error.code}`, `${what}: ${error.message}`);
}

/** What is about Redis or the value; a wrong key or option is a mistake that has to be heard of. */
function isOurs(error: unknown): error is RedstartError {
  return (
    error instanceof RedisUnavailableError ||
    error instanceof RedisCommandError ||
    error instanceof UnsupportedValueError
  );
}
