import { channel, subscribe, unsubscribe } from 'node:diagnostics_channel';
import { systemClock, Warnings } from '@redstart/redis-core';
import type { LockLossReason } from '../lock.errors.js';

/** What kind of lock an event is about. With `nodes`: `quorum` for everything but a `leader`. */
export type LockKind = 'mutex' | 'multi-lock' | 'read' | 'write' | 'semaphore' | 'leader' | 'quorum';

/**
 * Why an attempt failed, although nobody was in its way: Redis was out of reach, too few replicas have confirmed the lock (`replicas`), the caller's signal aborted, the
 * application shut down, the lock (or a part of a multi-lock) was lost before the caller had it, or Redis refused the command.
 */
export type LockFailure = 'unavailable' | 'not-replicated' | 'aborted' | 'shutdown' | 'lost' | 'error';

/** What an event is about. Never a key, a token or an address: only names of bounded number, so that they may serve as labels of metrics. */
export interface LockEventSource {
  /** The name of the RedisLockModule. */
  readonly module: string;
  /** The name of the connection. */
  readonly connection: string;
  readonly kind: LockKind;
  /** The option `label`, of the call or else of the module. Don't make it of data, or the number of your time series grows with it. */
  readonly label: string | undefined;
}

/**
 * What happened.
 *
 * Every `attempt` ends as one of `acquired`, `timeout` (waited in vain), `refused` (did not wait) and `failed`. Every `acquired` ends as one of
 * `released` with `wasHeld`, `lost` and `release-failed` (an outage: the lease lapses by itself).
 */
export type LockHappening =
  | { readonly event: 'attempt' | 'contended' | 'refused' | 'extended' | 'extend-failed' | 'forced' }
  | { readonly event: 'acquired' | 'timeout' | 'reentered'; readonly waitedMs: number }
  | { readonly event: 'failed'; readonly waitedMs: number; readonly reason: LockFailure }
  | { readonly event: 'lost'; readonly heldMs: number; readonly reason: LockLossReason }
  /** `wasHeld` is `false` for the release of a lock that had been lost before. */
  | { readonly event: 'released'; readonly heldMs: number; readonly wasHeld: boolean }
  | { readonly event: 'release-failed'; readonly heldMs: number };

export type LockEvent = LockEventSource & LockHappening;

/**
 * The channel of `node:diagnostics_channel` on which every {@link LockEvent} of the process is published. What a subscriber of it throws, Node reports as an uncaught
 * exception: {@link onLockEvent} is the safer way.
 */
export const lockChannel = channel('redstart:lock');

/**
 * Hears of every event of every lock in this process, until the returned function is called.
 *
 * Called in the middle of the work on a lock, so be quick. What the listener throws is logged, at most every 30 s, and harms nothing.
 *
 * @example
 * const stop = onLockEvent((event) => {
 *   if (event.event === 'acquired') waits.observe({ module: event.module, kind: event.kind }, event.waitedMs);
 * });
 */
export function onLockEvent(listener: (event: LockEvent) => unknown): () => void {
  const warnings = new Warnings('RedisLock', systemClock);
  const fail = (error: unknown) => {
    warnings.warn(
      'listener',
      `A listener of lock events failed: ${error instanceof Error ? error.message : 'it threw'}`,
    );
  };
  const hear = (event: unknown) => {
    try {
      const outcome = listener(event as LockEvent);
      if (outcome instanceof Promise) outcome.catch(fail);
    } catch (error) {
      fail(error);
    }
  };
  subscribe(lockChannel.name, hear);
  return () => {
    unsubscribe(lockChannel.name, hear);
  };
}
