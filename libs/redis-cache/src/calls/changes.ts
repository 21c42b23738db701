import { checkFunction, checkKnownKeys, type Key } from '@redstart/redis-core';
import { lifetimeOf, resolveStaleTime, resolveTtl } from '../entry/lifetime.js';
import { heldVersions } from '../flight/landings.js';
import { deleteByPrefix, type DeleteByPrefixOptions } from '../store/prefix-scan.js';
import type { StoreOptions } from './call.options.js';
import type { CacheParts } from './cache-parts.js';
import { checkSignal, checkStoring } from './check-options.js';
import type { Requests } from './requests.js';

/** What a caller changes by name. It ends the loads of this process that are under way for it, before anything is sent. */
export class Changes {
  constructor(
    private readonly parts: CacheParts,
    private readonly requests: Requests,
  ) {}

  async set(key: Key, value: unknown, options: StoreOptions): Promise<void> {
    const { store, codec, loads, writes, options: module } = this.parts;
    checkStoring(options, 'set');
    const { at, keys, tags, versionKeys } = this.requests.read(key, { tags: options.tags });
    const ttlMs = resolveTtl(options.ttl, module);
    const lifetime = lifetimeOf(ttlMs, resolveStaleTime(options, module), options.sliding === true, module);
    const snapshot = codec.snapshot(value);
    loads.supersede(at.value);
    const write = writes.begin(at.value);
    const budget = this.requests.budget();
    try {
      const [payload, versions] = await Promise.all([codec.pack(snapshot), store.versions.claim(versionKeys, budget)]);
      const entry = { payload, lifetime, under: heldVersions({ keys, tags }, versions) };
      await writes.set(at.value, write, budget, () => store.values.write(at, entry, budget));
    } finally {
      writes.end(at.value, write);
    }
  }

  async delete(keys: readonly Key[]): Promise<void> {
    const { store, loads, writes } = this.parts;
    const all = keys.map((key) => this.requests.keys.entry(key));
    for (const { value } of all) {
      loads.supersede(value);
      writes.outdate(value);
    }
    await Promise.all(
      all.map((at) => {
        const budget = this.requests.budget();
        return writes.delete(at.value, budget, () => store.values.remove(at, budget));
      }),
    );
  }

  async deleteByPrefix(prefix: Key, options: DeleteByPrefixOptions): Promise<number> {
    checkKnownKeys(options, ['onProgress', 'signal'], 'deleteByPrefix');
    const { onProgress, signal } = options;
    if (onProgress !== undefined) checkFunction(onProgress, 'deleteByPrefix.onProgress');
    checkSignal(signal, 'deleteByPrefix.signal');
    const { connection, loads, store } = this.parts;
    const beginnings = this.requests.keys.beginnings(prefix);
    loads.supersedeAll(beginnings.values.text);
    try {
      return await deleteByPrefix(connection, beginnings, (progress) => onProgress?.(progress), signal);
    } finally {
      await store.values.removedMany();
    }
  }

  async touch(key: Key, given: Pick<StoreOptions, 'ttl'>): Promise<boolean> {
    checkKnownKeys(given, ['ttl'], 'touch');
    const { store, options } = this.parts;
    return store.values.touch(this.requests.keys.entry(key), resolveTtl(given.ttl, options), this.requests.budget());
  }

  async invalidateTags(tags: readonly Key[]): Promise<void> {
    const { store } = this.parts;
    await Promise.all(tags.map((tag) => store.bump(this.requests.keys.tag(tag).key, this.requests.budget())));
  }

  async markStale(keys: readonly Key[]): Promise<void> {
    const { store, loads } = this.parts;
    const all = keys.map((key) => this.requests.keys.entry(key));
    for (const { value } of all) loads.supersede(value);
    await Promise.all(all.map((at) => store.values.markStale(at, this.requests.budget())));
  }

  async markTagsStale(tags: readonly Key[]): Promise<void> {
    const { store } = this.parts;
    await Promise.all(tags.map((tag) => store.mark(this.requests.keys.tag(tag).key, this.requests.budget())));
  }

  async clear(): Promise<void> {
    await this.parts.store.bump(this.requests.keys.version, this.requests.budget());
  }
}
