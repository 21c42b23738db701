import {
  checkFunction,
  checkOneOf,
  RedisUnavailableError,
  RedstartError,
  UnsupportedValueError,
  type Key,
} from '@redstart/redis-core';
import type { CacheParts } from '../calls/cache-parts.js';
import type { StoreOptions } from '../calls/call.options.js';
import { checkStoring } from '../calls/check-options.js';
import type { Changes } from '../calls/changes.js';
import type { Requests } from '../calls/requests.js';
import { lifetimeOf, resolveStaleTime, resolveTtl, type Lifetime } from '../entry/lifetime.js';
import { heldVersions } from '../flight/landings.js';
import type { NewEntry, OpenLease } from '../scripts/store.script.js';
import type { ReadRequest } from '../store/reader.js';

/** What a single `writeThrough` may say. */
export interface WriteThroughOptions extends StoreOptions {
  /**
   * `'store'`: readers find the new value when the store has it. `'cache'`: they find it at once, and it is taken out again should the store refuse it.
   *
   * @default 'store'
   */
  first?: 'store' | 'cache';
}

/** A value that the cache can hold. */
interface Storable {
  readonly snapshot: Buffer;
  readonly lifetime: Lifetime;
}

/** The right to put what has been written. */
interface WritePermit {
  readonly lease: OpenLease;
  /** `undefined`: the cache can't hold it, or nobody knows what it hangs on. */
  readonly entry: NewEntry | undefined;
}

/**
 * Writes values to the store and to the cache, so that the cache never keeps what the store had before.
 *
 * - *opening*: a lease in Redis takes the place of whatever load or write of the key is under way, which then can't be stored any more. What is cached is served on, but for no
 *   longer than the lease. Without an answer of Redis the write goes on, blindly.
 * - *writing*: the store is written, the lease renewed. Whoever misses the value waits for the end.
 * - *landing*: the value is put if the lease is intact. If somebody else has written or deleted meanwhile nobody knows which of the two the store has kept, and if the
 *   write has failed nobody knows whether it has after all: the value is deleted, and loaded by whoever asks next.
 */
export class ThroughWrites {
  constructor(
    private readonly parts: CacheParts,
    private readonly requests: Requests,
    private readonly changes: Changes,
  ) {}

  /** @returns whether the cache has the value @throws what `write` throws */
  async write<T>(key: Key, value: T, given: (value: T) => unknown, options: WriteThroughOptions): Promise<boolean> {
    const write = checkFunction(given, 'writeThrough(write)');
    checkStoring(options, 'writeThrough', 'first');
    const { store, loads, options: module } = this.parts;
    const { first: raw, ...storing } = options;
    const first = checkOneOf(raw ?? 'store', 'writeThrough.first', ['store', 'cache']);
    const request = this.requests.read(key, { tags: options.tags });
    const { at } = request;
    const storable = this.#storable(request, value, storing);
    if (first === 'cache' && storable !== undefined) await this.#putFirst(key, value, storing);
    loads.supersede(at.value);
    return loads.during(at.value, async () => {
      const permit = await this.#open(request, storable);
      const renewal =
        permit &&
        store.leases.keep(at, permit.lease, module.waitMs, () => {
          renewal?.stop();
        });
      let kept = false;
      try {
        await write(value);
        kept = permit?.entry !== undefined && (await this.#land(request, permit.lease, permit.entry));
      } finally {
        renewal?.stop();
        if (!kept) await this.#forget(request, permit?.lease);
      }
      return kept;
    });
  }

  /** @throws OptionsError */
  #storable({ at }: ReadRequest, value: unknown, options: StoreOptions): Storable | undefined {
    const { codec, store, options: module } = this.parts;
    const ttlMs = resolveTtl(options.ttl, module);
    const lifetime = lifetimeOf(ttlMs, resolveStaleTime(options, module), options.sliding === true, module);
    try {
      return { snapshot: codec.snapshot(value), lifetime };
    } catch (error) {
      // The store may take it all the same: that is where it has to be. Whatever a getter or a `toJSON` throws says that the value can't be read.
      const isRefused = error instanceof UnsupportedValueError;
      store.values.refused(at, isRefused ? error : new UnsupportedValueError('The value can not be read.'));
      return undefined;
    }
  }

  /** That the cache can't take it is no reason not to write it. */
  async #putFirst(key: Key, value: unknown, options: StoreOptions): Promise<void> {
    try {
      await this.changes.set(key, value, options);
    } catch (error) {
      if (!(error instanceof RedstartError)) throw error;
    }
  }

  async #open(request: ReadRequest, storable: Storable | undefined): Promise<WritePermit | undefined> {
    const { store, codec } = this.parts;
    const { at, versionKeys } = request;
    const budget = this.requests.budget();
    const [lease, seen] = await Promise.all([
      store.leases.openWrite(at, budget),
      store.readVersions(versionKeys, budget),
    ]);
    if (lease === undefined) return undefined;
    const versions = seen && (await store.versions.snapshot(versionKeys, seen, budget));
    if (storable === undefined || versions === undefined) return { lease, entry: undefined };
    const payload = await codec.pack(storable.snapshot);
    return { lease, entry: { payload, lifetime: storable.lifetime, under: heldVersions(request, versions) } };
  }

  async #land({ at }: ReadRequest, lease: OpenLease, entry: NewEntry): Promise<boolean> {
    const { leases } = this.parts.store;
    return (await leases.commit(at, entry, { ...lease, loadMs: 0 }, this.requests.budget())) === 'fresh';
  }

  /** Deletes what is cached, now or when Redis is back, and wakes those who wait for the write. */
  async #forget({ at }: ReadRequest, lease: OpenLease | undefined): Promise<void> {
    const { store } = this.parts;
    try {
      await store.values.remove(at, this.requests.budget());
    } catch (error) {
      if (!(error instanceof RedstartError)) throw error;
      // It is made good when Redis is back. What its user may not do needs an operator.
      if (!(error instanceof RedisUnavailableError)) {
        store.warn('write-through', `"${at.shown}" has been written, and could not be deleted: ${error.message}`);
      }
    }
    if (lease !== undefined) await store.leases.release(at, lease.token, 'gone', this.requests.budget());
  }
}
