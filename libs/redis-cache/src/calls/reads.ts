import type { Key } from '@redstart/redis-core';
import type { CacheEntry } from '../entry/entry.js';
import type { KeptEntry } from '../near/near-cache.js';
import { NearFound } from '../near/near-reader.js';
import type { WaitBudget } from '../store/budget.js';
import type { FoundEntry, Lookup, ReadRequest } from '../store/reader.js';
import type { ReadOptions } from './call.options.js';
import type { CacheParts } from './cache-parts.js';
import { areKeys, checkGiven, checkKeys, checkReading } from './check-options.js';
import type { Requests } from './requests.js';

/** What reads a cache without a loader: what is stale is a miss, and nothing is changed. */
export class Reads {
  constructor(
    private readonly parts: CacheParts,
    private readonly requests: Requests,
  ) {}

  async get(key: Key, options: ReadOptions): Promise<unknown> {
    checkGiven(options, 'get');
    const kept = this.near(key, options);
    if (kept !== undefined) return this.parts.near?.valueOf(kept);
    const request = this.requests.read(key, options);
    const lookup = await this.look(request, this.requests.budget());
    if (this.#isHit(request, lookup)) return lookup.value;
    checkReading(options, 'get');
    return undefined;
  }

  async has(key: Key, options: ReadOptions): Promise<boolean> {
    checkGiven(options, 'has');
    if (this.near(key, options) !== undefined) return true;
    const request = this.requests.read(key, options);
    if (this.#isHit(request, await this.look(request, this.requests.budget()))) return true;
    checkReading(options, 'has');
    return false;
  }

  async getMany(keys: readonly Key[], options: ReadOptions): Promise<unknown[]> {
    return Promise.all(checkKeys(keys, 'getMany').map((key) => this.get(key, options)));
  }

  /** Stale ones as well. */
  async entry(key: Key, options: ReadOptions): Promise<CacheEntry<unknown> | undefined> {
    checkGiven(options, 'getEntry');
    const { store } = this.parts;
    const request = this.requests.read(key, options);
    const budget = this.requests.budget();
    const [lookup, leftMs, now] = await Promise.all([
      this.look(request, budget),
      store.values.remaining(request.at, budget),
      store.serverTime(budget),
    ]);
    this.#isHit(request, lookup);
    if (lookup.kind !== 'fresh' && lookup.kind !== 'stale') {
      checkReading(options, 'getEntry');
      return undefined;
    }
    const { createdAt, freshUntil, expiresAt, slidingMs, tags } = lookup.envelope;
    const time = now ?? createdAt;
    const stale = lookup.kind === 'stale';
    const endsIn = leftMs ?? Math.max(0, expiresAt - time);
    return {
      value: lookup.value,
      tier: lookup instanceof NearFound ? 'near' : 'redis',
      stale,
      createdAt,
      expiresAt: slidingMs > 0 ? Math.min(expiresAt, Math.round(time + endsIn)) : expiresAt,
      age: Math.max(0, Math.round(time - createdAt)),
      ttl: stale ? 0 : Math.max(0, slidingMs > 0 ? endsIn : endsIn - (expiresAt - freshUntil)),
      tags: tags.map(({ name }) => name),
    };
  }

  /** A hit of the near tier for a call that wants nothing but the value. */
  near(
    key: Key,
    { tags, schema }: { tags?: readonly Key[] | ((value: never) => readonly Key[]); schema?: unknown },
  ): KeptEntry | undefined {
    const { near, stats } = this.parts;
    if (near === undefined || schema !== undefined) return undefined;
    const { keys } = this.requests;
    const kept = near.find(keys.entry(key).value);
    if (kept === undefined) return undefined;
    if (areKeys(tags) && !near.hasTags(kept, tags, keys)) return undefined;
    stats.count('hits');
    stats.count('nearHits');
    return kept;
  }

  /** What it finds is to be {@link note noted}. */
  look(request: ReadRequest, budget: WaitBudget): Promise<Lookup> {
    return this.parts.reader.look(request, budget);
  }

  /** Counts what a read has found, and moves its ttl on where that slides. */
  note(request: ReadRequest, lookup: Lookup): void {
    if (lookup instanceof NearFound && lookup.kind === 'fresh') this.parts.stats.count('nearHits');
    this.slide(request, lookup);
  }

  /** Moves the ttl of what a read has found on, where that slides. */
  slide(request: ReadRequest, lookup: Lookup): void {
    if (lookup.kind !== 'fresh') return;
    const { store } = this.parts;
    if (lookup.envelope.slidingMs > 0) void store.values.slide(request.at, this.requests.budget());
  }

  #isHit(request: ReadRequest, lookup: Lookup): lookup is FoundEntry {
    this.note(request, lookup);
    const found = lookup.kind === 'fresh';
    this.parts.stats.count(found ? 'hits' : 'misses');
    return found;
  }
}
