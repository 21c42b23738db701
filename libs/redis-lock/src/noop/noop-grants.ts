import { KeySpace, systemClock } from '@redstart/redis-core';
import { firstOf } from '../leader/first-of.js';
import type { AcquireOutcome } from '../lease.js';
import {
  resolveHoldingCall,
  resolveLockCall,
  resolveLockOptions,
  type HoldingOptions,
  type LockCallFallback,
  type LockCallOptions,
  type ResolvedHoldingCall,
  type ResolvedLockCall,
} from '../lock.options.js';
import { newToken } from '../owner.js';
import type { ReentryHost } from '../reentrancy/enter-or-take.js';
import { frameAround } from '../reentrancy/frames.js';
import { LockCounters } from '../telemetry/lock-stats.js';
import { NoopLock, type NoopLockState } from './noop-lock.js';

export const noopKeySpace = new KeySpace('noop');
export const noopOptions = resolveLockOptions({});

/**
 * Grants whatever is asked for, with tokens that rise. Options are checked as ever.
 *
 * Only who stands in its own way has to wait, as it would with Redis: a call that its own caller holds the lock of. Nobody else is known here.
 */
export class NoopGrants implements ReentryHost {
  readonly clock = systemClock;
  readonly nodes = [this];
  readonly counters = new LockCounters();
  readonly telemetry = {
    reentered: () => {
      this.counters.add('reentered');
    },
  };
  #fence = 0;
  /** Whoever waits, waits for the next release, and looks then. */
  #nextRelease = withResolver();

  resolve(raw: LockCallOptions, where: string, fallback: Partial<LockCallFallback> = {}): ResolvedLockCall {
    return resolveLockCall(raw, { ...noopOptions, autoExtend: false, ...fallback }, where);
  }

  resolveHolding(raw: HoldingOptions, where: string, fallback: Partial<LockCallFallback> = {}): ResolvedHoldingCall {
    return resolveHoldingCall(raw, { ...noopOptions, autoExtend: true, ...fallback }, where);
  }

  /** At once, unless a call around this one holds any of these keys: then when that has ended, or not at all. */
  async acquire(keys: readonly string[], call: ResolvedLockCall): Promise<AcquireOutcome<NoopLock>> {
    const until = this.clock.now() + call.waitTimeoutMs;
    const inTheWay = () => frameAround(this, keys)?.reentry.root.keys.find((key) => keys.includes(key));
    let key = inTheWay();
    if (key !== undefined) this.counters.add('contended');
    for (; key !== undefined && call.signal?.aborted !== true; key = inTheWay()) {
      const ms = until - this.clock.now();
      if (ms <= 0) {
        this.counters.add('attempts');
        this.counters.add(call.waitTimeoutMs > 0 ? 'timeouts' : 'refused');
        return { lock: undefined, key, holder: undefined };
      }
      await firstOf(this.clock, {
        promise: this.#nextRelease.promise,
        ms,
        ...(call.signal && { signal: call.signal }),
      });
    }
    return { lock: this.grant(keys, call) };
  }

  grant(keys: readonly string[], call: ResolvedLockCall): NoopLock {
    return new NoopLock(this.take(keys, call));
  }

  /** @throws the reason of the call's signal, if that has aborted */
  take(keys: readonly string[], { signal, ttlMs }: ResolvedLockCall): NoopLockState {
    if (signal?.aborted === true) this.refuse(signal.reason);
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
        this.#nextRelease.resolve();
        this.#nextRelease = withResolver();
      },
    };
  }

  /** An attempt that fails. */
  refuse(reason: unknown): never {
    this.counters.add('attempts');
    this.counters.add('failed');
    throw reason;
  }
}

function withResolver(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
