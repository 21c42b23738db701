import type { RedisModuleOptions } from '@redstart/redis-core';
import type { OrderedProcess } from '@redstart/redis-testing/programs';
import type { RedisLockModuleOptions } from '../../../src/index.js';

/** Where a worker finds its lock: as many connections as the kind of lock needs. */
export interface LockTarget {
  readonly redis: readonly RedisModuleOptions[];
  readonly lock: RedisLockModuleOptions;
}

/** How a worker competes. */
export interface Terms {
  /** The lock that all compete for. */
  readonly key: string;
  /** Another one, which is asked for together with it in some rounds. */
  readonly companion: string;
  readonly ttlMs: number;
  readonly waitTimeoutMs: number;
  /** The longest time that it stays inside, while it does not dwell. */
  readonly workMs: number;
  /** The longest time between two rounds. */
  readonly pauseMs: number;
}

/** What a spec may tell a worker to do; it answers when that is done. */
export type Order =
  | { readonly order: 'connect'; readonly target: LockTarget }
  /** `dwells`: from the start, as after the order to dwell. */
  | { readonly order: 'compete'; readonly terms: Terms; readonly dwells?: boolean }
  /** Whoever is inside, or comes in, stays until it is told to let go, or has lost the lock. */
  | { readonly order: 'dwell' }
  | { readonly order: 'let-go' }
  /** Gives up waiting, leaves, and answers when both are done. */
  | { readonly order: 'rest' }
  /** The event loop stands still. */
  | { readonly order: 'stall'; readonly ms: number }
  | { readonly order: 'disconnect' };

/** A worker as its parent sees it. */
export type WorkerProcess = OrderedProcess<Order>;
