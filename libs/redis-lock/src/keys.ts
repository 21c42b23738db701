import type { Key, KeyPart, KeySpace } from '@redstart/redis-core';

/**
 * What is locked: one {@link Key}, or several as an array of arrays.
 *
 * A flat array is always the parts of one key, as everywhere in Redstart: `['order', 42]` is the lock `order:42`. Several locks at once are
 * written as a list of such arrays: `[['order', 42], ['order', 43]]`.
 */
export type LockKey = Key | readonly (readonly KeyPart[])[];

/** Every Redis key of one lock. They share one hash tag, so every script stays in one slot. */
export interface LockKeys {
  readonly holder: string;
  readonly fence: string;
  readonly queue: string;
  readonly waiters: string;
  /** The channels of its waiters begin with this; the mailbox of a waiter's process follows. */
  readonly wake: string;
}

/**
 * @param sharded on Cluster: Pub/Sub is per slot there, so the wake-up channels of a lock have to live in its slot. Elsewhere one channel per
 *   process serves all locks.
 */
export function lockKeys(space: KeySpace, key: Key, sharded: boolean): LockKeys {
  const at = space.tagged('lock', key); //   shop:lock:{order:42}
  return {
    holder: at(), //                         STRING   owner (token and mailbox), PX = lease
    fence: at('fence'), //                   STRING   last fencing token, PX = 1 day
    queue: at('queue'), //                   LIST     owners that wait, first come first served, PX = 2 queue leases
    waiters: at('waiters'), //               ZSET     owner -> alive until (server ms), PX = 2 queue leases
    wake: wakeChannels(space, at, sharded), // channel, nothing is stored
  };
}

/** Since when a node of a quorum remembers: one key for all locks, absent where everything was lost. STRING server ms, PX = 30 days. */
export function epochKey(space: KeySpace): string {
  return space.untagged('lock', 'epoch'); // shop:lock:epoch
}

/** In the order in which every script of this library takes them. */
export function scriptKeys({ holder, fence, queue, waiters }: LockKeys): string[] {
  return [holder, fence, queue, waiters];
}

/** Without the queue, for scripts that know none: see `quorum/`. */
export function fencedKeys({ holder, fence }: LockKeys): string[] {
  return [holder, fence];
}

/** Every Redis key of one read/write lock; a mutex of the same name is another lock. */
export interface ReadWriteKeys extends LockKeys {
  readonly readers: string;
  readonly waitingReaders: string;
}

export function readWriteKeys(space: KeySpace, key: Key, sharded: boolean): ReadWriteKeys {
  const at = space.tagged('rwlock', key); //  shop:rwlock:{order:42}
  return {
    holder: at(), //                          STRING   the writer (token and mailbox), PX = lease
    fence: at('fence'), //                    STRING   last fencing token of both sides, PX = 1 day
    queue: at('queue'), //                    LIST     writers that wait, first come first served, PX = 2 queue leases
    waiters: at('waiters'), //                ZSET     waiting writer -> alive until (server ms), PX = 2 queue leases
    readers: at('readers'), //                ZSET     reader -> end of its lease (server ms), PX = the last of them
    waitingReaders: at('waiting-readers'), // ZSET     reader that waits -> alive until (server ms), PX = 2 queue leases
    wake: wakeChannels(space, at, sharded), // channel, nothing is stored
  };
}

/** In the order in which every script of a read/write lock takes them. */
export function readWriteScriptKeys(keys: ReadWriteKeys): string[] {
  return [...scriptKeys(keys), keys.readers, keys.waitingReaders];
}

/** Every Redis key of one semaphore. */
export interface SemaphoreKeys {
  readonly permits: string;
  readonly fence: string;
  readonly queue: string;
  readonly waiters: string;
  readonly limit: string;
  /** See {@link LockKeys}. */
  readonly wake: string;
}

export function semaphoreKeys(space: KeySpace, key: Key, sharded: boolean): SemaphoreKeys {
  const at = space.tagged('semaphore', key); // shop:semaphore:{bank}
  return {
    permits: at(), //                          ZSET    number and owner, for each permit that is out -> end of its lease (server ms), PX = the last of them
    fence: at('fence'), //                     STRING  last fencing token, PX = 1 day
    queue: at('queue'), //                     LIST    how many permits and owner, first come first served, PX = 2 queue leases
    waiters: at('waiters'), //                 ZSET    the same -> alive until (server ms), PX = 2 queue leases
    limit: at('limit'), //                     STRING  how many permits there are, PX = the longest of the leases above
    wake: wakeChannels(space, at, sharded), // channel, nothing is stored
  };
}

/** In the order in which every script of a semaphore takes them. */
export function semaphoreScriptKeys({ permits, fence, queue, waiters, limit }: SemaphoreKeys): string[] {
  return [permits, fence, queue, waiters, limit];
}

/** What the channels of its waiters begin with: see {@link lockKeys}. One channel per process serves whatever it waits for. */
function wakeChannels(space: KeySpace, at: (part: string) => string, sharded: boolean): string {
  return sharded ? at('wake:') : space.untagged('lock', 'wake:');
}

/** Splits what a user locks into single keys: see {@link LockKey}. */
export function listKeys(key: LockKey): readonly Key[] {
  return isList(key) ? key : [key];
}

function isList(key: LockKey): key is readonly (readonly KeyPart[])[] {
  return Array.isArray(key) && key.length > 0 && key.every((part) => Array.isArray(part));
}
