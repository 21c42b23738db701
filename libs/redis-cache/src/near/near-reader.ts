import type { Key } from '@redstart/redis-core';
import type { EntryCodec } from '../entry/entry-codec.js';
import type { CacheKeys } from '../keys.js';
import type { WaitBudget } from '../store/budget.js';
import type { CacheStore } from '../store/cache-store.js';
import { FoundEntry, type Lookup, type Reader, type ReadRequest } from '../store/reader.js';
import type { AboutEntry, KeptEntry, NearCache } from './near-cache.js';
import type { NearFetch } from './near-tier.js';

const noBytes = Buffer.alloc(0);

/** An entry that no round trip was needed for. */
export class NearFound extends FoundEntry {}

/**
 * Reads entries from the near tier, and from Redis what it does not have: whatever it serves, `Reader` would have found a moment ago, at most `maxLag`.
 *
 * The versions that an entry hangs on are not looked at again: it is kept for as long as no change of them is heard of.
 */
export class NearReader {
  constructor(
    private readonly near: NearCache,
    private readonly reader: Reader,
    private readonly store: CacheStore,
    private readonly codec: EntryCodec,
  ) {}

  /** The short way to a hit: no promise, no request, no round trip. @param key as Redis has it */
  find(key: string): KeptEntry | undefined {
    return this.near.tier.find(key);
  }

  valueOf(kept: KeptEntry): unknown {
    return this.near.tier.valueOf(kept);
  }

  /** Whether an entry has all the tags that its caller names: it was stored under other ones otherwise. @throws InvalidKeyError */
  hasTags({ about }: KeptEntry, tags: readonly Key[], keys: CacheKeys): boolean {
    const has = about.found.envelope.tags;
    for (const tag of tags) {
      // Whatever has to be escaped has a % in it afterwards.
      const name = typeof tag === 'string' && !tag.includes('%') ? tag : keys.tag(tag).name;
      if (!has.some((held) => held.name === name) && !has.some((held) => held.name === keys.tag(tag).name))
        return false;
    }
    return true;
  }

  look(request: ReadRequest, budget: WaitBudget): Promise<Lookup> {
    const kept = this.find(request.at.value);
    return kept !== undefined && isTaggedAs(kept, request)
      ? this.#lookNear(kept, request, budget)
      : this.#lookFar(request, budget);
  }

  async #lookNear(kept: KeptEntry, request: ReadRequest, budget: WaitBudget): Promise<Lookup> {
    return (await this.#foundNear(kept, request)) ?? this.#lookFar(request, budget);
  }

  /** Makes no promise that it can do without, since every miss comes this way. */
  #lookFar(request: ReadRequest, budget: WaitBudget): Promise<Lookup> {
    const { at, keys, tags, versionKeys, schema } = request;
    const fetch = this.near.fetch([at.value, ...versionKeys]);
    if (fetch === undefined) return this.reader.look(request, budget).then((lookup) => this.#handOut(lookup));
    return this.reader.look({ at, keys, tags, versionKeys, schema, fetch }, budget).then(
      (lookup) => this.#end(request, lookup, fetch, budget),
      (error: unknown) => {
        fetch.end();
        throw error;
      },
    );
  }

  /** Keeps what was read where it may, and ends the fetch in any case. */
  #end(
    request: ReadRequest,
    lookup: Lookup,
    fetch: NearFetch<AboutEntry>,
    budget: WaitBudget,
  ): Lookup | Promise<Lookup> {
    let keeping: Promise<void> | undefined;
    try {
      if (lookup.kind === 'fresh') keeping = this.#keep(request, lookup, fetch, budget);
    } finally {
      if (keeping === undefined) fetch.end();
    }
    if (keeping === undefined) return this.#handOut(lookup);
    const end = () => {
      fetch.end();
    };
    return keeping.finally(end).then(() => this.#handOut(lookup));
  }

  async #foundNear(kept: KeptEntry, request: ReadRequest): Promise<NearFound | undefined> {
    const { schema } = request;
    let value = this.valueOf(kept);
    if (schema !== undefined) {
      const result = await schema['~standard'].validate(value);
      if (result.issues !== undefined) return undefined; // Redis has the last word.
      value = result.value;
    }
    const { found } = kept.about;
    const copy = schema === undefined ? () => this.valueOf(kept) : undefined;
    const seen = seenBy(request, kept.about);
    return new NearFound(found.kind, value, found.envelope, found.staleSince, found.header, seen, copy);
  }

  #keep(
    request: ReadRequest,
    lookup: FoundEntry,
    fetch: NearFetch<AboutEntry>,
    budget: WaitBudget,
  ): Promise<void> | undefined {
    const { envelope } = lookup;
    // A sliding ttl moves on with each read, of which Redis has to hear.
    if (envelope.slidingMs > 0) return undefined;
    const { now } = this.store.serverClock;
    if (now === undefined) {
      // Asked for once, and known at the next read: without it nobody can tell how long this is fresh.
      void this.store.serverTime(budget);
      return undefined;
    }
    if (request.schema !== undefined) return this.#keepUnchecked(request, lookup, fetch, now);
    this.#commit(request, lookup, lookup.value, fetch, now);
    return undefined;
  }

  /** What a schema has made of a value is its caller's: the value is read once more. */
  async #keepUnchecked(
    request: ReadRequest,
    lookup: FoundEntry,
    fetch: NearFetch<AboutEntry>,
    now: number,
  ): Promise<void> {
    const value = this.codec.revive(await this.codec.unpack(lookup.envelope.payload));
    this.#commit(request, lookup, value, fetch, now);
  }

  #commit(
    { at, versionKeys }: ReadRequest,
    { kind, envelope, staleSince, header, seen }: FoundEntry,
    value: unknown,
    fetch: NearFetch<AboutEntry>,
    now: number,
  ): void {
    const found = {
      kind,
      envelope: { ...envelope, payload: noBytes },
      staleSince,
      header: Buffer.from(header), // A part of a reply would keep all of it.
      seen,
    };
    const bytes = this.codec.unpackedBytes(envelope.payload);
    fetch.commit(at.value, { value, about: { found, versionKeys }, bytes, freshForMs: envelope.freshUntil - now });
  }

  #handOut<L extends Lookup>(lookup: L): L {
    if (lookup.kind === 'fresh' || lookup.kind === 'stale') this.near.tier.handOut(lookup.value);
    return lookup;
  }
}

function isTaggedAs({ about }: KeptEntry, { tags }: ReadRequest): boolean {
  const has = about.found.envelope.tags;
  return tags.every(({ name }) => has.some((tag) => tag.name === name));
}

function seenBy({ versionKeys }: ReadRequest, about: AboutEntry): FoundEntry['seen'] {
  if (versionKeys === about.versionKeys) return about.found.seen;
  return versionKeys.map((key) => about.found.seen[about.versionKeys.indexOf(key)]);
}
