import { KeySpace } from '@redstart/redis-core';
import {
  resolveHoldingCall,
  resolveLockCall,
  resolveLockOptions,
  type HoldingOptions,
  type LockCallFallback,
  type LockCallOptions,
  type ResolvedLockCall,
} from '../lock.options.js';
import { newToken } from '../owner.js';
import { LockCounters } from '../telemetry/lock-stats.js';
import { NoopLock, type NoopLockState } from './noop-lock.js';

export const noopKeySpace = new KeySpace('noop');
export const noopOptions = resolveLockOptions({});

/** Grants whatever is asked for, with tokens that rise. Options are checked as ever. */
export class NoopGrants {
  readonly counters = new LockCounters();
  #fence = 0;

  resolve(raw: LockCallOptions, where: string, fallback: Partial<LockCallFallback> = {}): ResolvedLockCall {
    return resolveLockCall(raw, { ...noopOptions, autoExtend: false, ...fallback }, where);
  }

  resolveHolding(raw: HoldingOptions, where: string): ResolvedLockCall {
    return resolveHoldingCall(raw, { ...noopOptions, autoExtend: true }, where);
  }

  grant(keys: readonly string[], call: ResolvedLockCall): NoopLock {
    return new NoopLock(this.take(keys, call));
  }

  /** @throws the reason of the call's signal, if that has aborted */
  take(keys: readonly string[], { signal, ttlMs }: ResolvedLockCall): NoopLockState {
    signal?.throwIfAborted();
    // Of the size of real ones, and higher in every test than in the last one, as a table that outlives a test expects.
    this.#fence = Math.max(this.#fence + 1, Date.now() * 1_000);
    this.counters.add('attempts');
    this.counters.add('acquired');
    return {
      keys: [...new Set(keys)].sort(),
      token: newToken(),
      fencingToken: this.#fence,
      ttlMs,
      onRelease: () => {
        this.counters.add('released');
      },
    };
  }
}
