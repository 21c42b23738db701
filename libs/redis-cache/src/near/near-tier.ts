import type { Clock } from '@redstart/redis-core';
import { LRUCache } from 'lru-cache';
import { copyValue, freezeValue } from './copy-value.js';
import { heapSize } from './heap-size.js';
import { Knowledge, type Fact } from './knowledge.js';

/** How values leave the near tier: see `NearOptions.share`. */
export type Sharing = 'copy' | 'frozen';

export interface NearTierOptions {
  readonly maxEntries: number;
  readonly maxBytes: number;
  readonly ttlMs: number;
  readonly share: Sharing;
}

/** Says until when hits may be served, by this process' clock. */
export interface Trust {
  readonly trustedUntil: number;
}

/** What is to be kept. */
export interface NearEntry<About> {
  /** As the codec has read it, and as its reader is about to get it. */
  readonly value: unknown;
  /** What else there is to know of it. */
  readonly about: About;
  /** How many bytes it took in Redis, unpacked. */
  readonly bytes: number;
  /** For how many milliseconds more it is fresh. */
  readonly freshForMs: number;
}

/** What is kept, for {@link NearTier.valueOf}. */
export interface Kept<About> {
  readonly about: About;
}

interface Held<About> extends Kept<About> {
  readonly value: unknown;
  readonly shared: boolean;
  readonly facts: readonly Fact[];
  /** By this process' clock. */
  readonly endsAt: number;
}

/** What an entry takes beside its value: its key, its place in the table, what is known of it. By measurement. */
const entryBytes = 1_100;
/** No single entry may push out more than this share of the others. */
const largestShare = 1 / 8;

/**
 * Values of Redis in the memory of this process: the most recently used ones, as many as fit.
 *
 * An entry is served while all of this holds, and never otherwise: hits are trusted (see `Coherence`), nothing that it goes by has been changed, and
 * its time is not over, which is the near tier's own ttl or what was left of the entry's when it was read.
 *
 * What is read from Redis gets in by way of a {@link NearFetch}, which is opened before the read is sent.
 */
export class NearTier<About> {
  readonly #knowledge = new Knowledge();
  readonly #entries: LRUCache<string, Held<About>>;

  constructor(
    private readonly options: NearTierOptions,
    private readonly clock: Clock,
    private readonly trust: Trust,
    onEvicted: () => void = () => undefined,
  ) {
    this.#entries = new LRUCache({
      max: options.maxEntries,
      maxSize: options.maxBytes,
      maxEntrySize: Math.max(1, Math.floor(options.maxBytes * largestShare)),
      dispose: ({ facts }, _key, reason) => {
        if (reason === 'evict') onEvicted();
        for (const fact of facts) this.#knowledge.release(fact);
      },
    });
  }

  /** Counts as a use. */
  find(key: string): Kept<About> | undefined {
    const held = this.#entries.get(key);
    if (held === undefined) return undefined;
    const now = this.clock.now();
    // Not trusted for the moment, it may be again: what then turns out to have changed will have been told by then.
    if (now >= this.trust.trustedUntil) return undefined;
    if (now < held.endsAt && isCurrent(held.facts)) return held;
    this.#entries.delete(key);
    return undefined;
  }

  /** The value of what {@link find} has found: a copy for its caller alone, or with `share: 'frozen'` the one that all share, where it can be frozen. */
  valueOf(kept: Kept<About>): unknown {
    const { value, shared } = kept as Held<About>;
    return shared ? value : copyValue(value);
  }

  /** A value from Redis as it would leave the near tier, so that nobody can tell where it came from. */
  handOut(value: unknown): unknown {
    this.#freeze(value);
    return value;
  }

  /**
   * To be called before keys are read, and ended when their reply has been dealt with.
   * @returns `undefined` when nothing could be kept at the moment
   */
  fetch(keys: readonly string[]): NearFetch<About> | undefined {
    if (this.clock.now() >= this.trust.trustedUntil) return undefined;
    return new NearFetch(this.#knowledge, keys, this.#keep);
  }

  /** Somebody has changed a key, or this process is about to, or has. */
  changed(key: string): void {
    this.#knowledge.changed(key);
    this.#entries.delete(key);
  }

  /** Anything may have changed. */
  forget(): void {
    this.#knowledge.forget();
    this.#entries.clear();
  }

  get size(): { readonly entries: number; readonly bytes: number; readonly facts: number } {
    return { entries: this.#entries.size, bytes: this.#entries.calculatedSize, facts: this.#knowledge.size };
  }

  #freeze(value: unknown): boolean {
    return this.options.share === 'frozen' && freezeValue(value);
  }

  readonly #keep = (
    key: string,
    facts: readonly Fact[],
    { value, about, bytes, freshForMs }: NearEntry<About>,
  ): boolean => {
    const endsAt = this.clock.now() + Math.min(freshForMs, this.options.ttlMs);
    const shared = this.#freeze(value);
    const size = entryBytes + key.length + heapSize(value, bytes);
    const held = { value: shared ? value : copyValue(value), about, shared, facts, endsAt };
    this.#entries.set(key, held, { size });
    // One that is too large is not taken: then nobody would give its facts back.
    return this.#entries.peek(key) === held;
  };
}

/**
 * A read of Redis that is under way, and what it may leave in the near tier.
 *
 * - *open*: from before the read is sent. Changes of its keys are noted.
 * - *ended*: by {@link end}, in any case, or nothing would ever be forgotten of these keys.
 */
export class NearFetch<About> {
  #facts: Fact[] = [];

  constructor(
    private readonly knowledge: Knowledge,
    keys: readonly string[],
    private readonly keep: (key: string, facts: readonly Fact[], entry: NearEntry<About>) => boolean,
  ) {
    this.goBy(keys);
  }

  /** Further keys that will be read, before they are. */
  goBy(keys: readonly string[]): void {
    for (const key of keys) this.#facts.push(this.knowledge.take(key));
  }

  /** Keeps what was read, unless a key that it goes by has been changed meanwhile. Its time begins now. */
  commit(key: string, entry: NearEntry<About>): void {
    if (!isCurrent(this.#facts) || entry.freshForMs <= 0) return;
    const facts = this.#facts;
    if (this.keep(key, facts, entry)) this.#facts = [];
  }

  end(): void {
    for (const fact of this.#facts) this.knowledge.release(fact);
    this.#facts = [];
  }
}

function isCurrent(facts: readonly Fact[]): boolean {
  for (const fact of facts) if (!fact.current) return false;
  return true;
}
