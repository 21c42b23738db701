import { checkFunction, checkKnownKeys, type Duration } from '@redstart/redis-core';
import type { Lock } from '../lock.js';
import type { LockLossReason } from '../lock.errors.js';
import { resolveLockCall, type ResolvedLockCall, type ResolvedLockOptions } from '../lock.options.js';

/**
 * Why a leader is none any more: its lock was lost (see {@link LockLossReason}), or
 * - `stopped`: by `stop()`.
 * - `resigned`: it has released the lock of its term by itself.
 * - `failed`: `onElected` threw or rejected.
 */
export type RevocationReason = LockLossReason | 'stopped' | 'resigned' | 'failed';

export interface LeaderOptions {
  /**
   * A term begins. May return a promise that lasts as long as the work of the leader does; that it ends, ends no term. The work has to heed
   * `lock.signal`, which aborts with the term. `lock.release()` resigns. Throwing, or rejecting, gives the leadership up: somebody who can
   * lead should, and this instance stands again after a pause.
   */
  readonly onElected: (lock: Lock) => unknown;
  /** A term has ended: once for each call of `onElected`, at once, and before anybody else can be elected as far as clocks can tell. What it returns is waited for. */
  readonly onRevoked?: (reason: RevocationReason) => unknown;
  /** How long a killed leader is still taken for one. Renewed every third of it. At least 100 ms. @default that of the module */
  readonly ttl?: Duration;
  /** What this candidate calls itself, for {@link LockService.inspect}. Up to 100 characters. @default that of the module */
  readonly label?: string;
}

export interface ResolvedLeaderOptions {
  readonly onElected: (lock: Lock) => unknown;
  readonly onRevoked: (reason: RevocationReason) => unknown;
  readonly call: ResolvedLockCall;
}

const known = ['onElected', 'onRevoked', 'ttl', 'label'];

/**
 * @param signal stops the candidate
 * @throws OptionsError for an unknown option or a wrong value
 */
export function resolveLeaderOptions(
  raw: LeaderOptions,
  { ttlMs, label }: ResolvedLockOptions,
  signal: AbortSignal,
): ResolvedLeaderOptions {
  const where = 'leader(options)';
  checkKnownKeys(raw, known, where);
  const { onElected, onRevoked = () => undefined, ...lock } = raw;
  const fallback = { ttlMs, label, autoExtend: true, waitTimeoutMs: Infinity };
  const call: ResolvedLockCall = { ...resolveLockCall({ ...lock, signal }, fallback, where), kind: 'leader' };
  return Object.freeze({
    onElected: checkFunction(onElected, `${where}.onElected`),
    onRevoked: checkFunction(onRevoked, `${where}.onRevoked`),
    call,
  });
}
