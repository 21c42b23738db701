import type { StandardSchemaV1 } from '@standard-schema/spec';
import { CorruptValueError } from '@redstart/redis-core';
import type { EntryCodec } from '../entry/entry-codec.js';
import { headerBytes, openEnvelope, type Envelope } from '../entry/envelope.js';
import type { CacheKeys, EntryKeys, TagKey } from '../keys.js';
import type { Version } from '../tags/version.js';
import { staleId, type Amends } from './amends.js';
import type { WaitBudget } from './budget.js';
import type { CacheStore } from './cache-store.js';
import type { RawRead } from './read-batch.js';

/** What a read wants. */
export interface ReadRequest {
  readonly at: EntryKeys;
  readonly keys: CacheKeys;
  /** The tags that the caller says the value has: an entry without one of them is a miss, since it was stored under other ones. */
  readonly tags: readonly TagKey[];
  /** Where the versions of the namespaces and of `tags` are, in this order. */
  readonly versionKeys: readonly string[];
  readonly schema: StandardSchemaV1 | undefined;
  /** Where the near tier notes what this read goes by. */
  readonly fetch?: { goBy(keys: readonly string[]): void };
}

/** What a reader has seen of versions: in the order of the request's `versionKeys`. */
export type SeenVersions = readonly (Version | undefined)[];

/**
 * What a read found.
 *
 * - `fresh`: it may be served.
 * - `stale`: it may be served where stale values are welcome, since `staleSince` (milliseconds by the server's clock).
 * - `miss`: nothing that may be served. `header` is what is there all the same, for the script that opens a lease.
 * - `blind`: Redis did not answer, or holds what is not ours; nothing may be stored on the strength of it.
 */
export type Lookup =
  FoundEntry | { readonly kind: 'miss'; readonly header: Buffer; readonly seen: SeenVersions } | Blind;

/** An entry that counts. */
export class FoundEntry {
  constructor(
    readonly kind: 'fresh' | 'stale',
    readonly value: unknown,
    readonly envelope: Envelope,
    /** `Infinity` when it is fresh to its end. */
    readonly staleSince: number,
    readonly header: Buffer,
    readonly seen: SeenVersions,
    /** Makes another copy of the value, where that is all that it takes. */
    readonly copy: (() => unknown) | undefined,
  ) {}
}

export interface Blind {
  readonly kind: 'blind';
  readonly seen: undefined;
}

const blind: Blind = Object.freeze({ kind: 'blind', seen: undefined });
const nothing = Buffer.alloc(0);
/** When there is nothing to look at by a clock. */
const never = Infinity;

/**
 * Reads entries, and judges them: an entry counts only while every version in its envelope is the one that Redis holds.
 *
 * One round trip; a second one only for tags that the caller has not named. Never rejects because of Redis or of what it holds.
 */
export class Reader {
  constructor(
    private readonly store: CacheStore,
    private readonly codec: EntryCodec,
  ) {}

  look(request: ReadRequest, budget: WaitBudget): Promise<Lookup> {
    const { amends } = this.store;
    // Redis has not been told yet that this is over.
    if (amends.size > 0 && isAmended(request, amends)) return Promise.resolve(blind);
    return this.store.read(request.at.value, request.versionKeys, budget, (read) => this.#weigh(request, read, budget));
  }

  #weigh(request: ReadRequest, read: RawRead | undefined, budget: WaitBudget): Lookup | Promise<Lookup> {
    const { amends } = this.store;
    if (read === undefined || (amends.size > 0 && isAmended(request, amends))) return blind;
    const { bytes } = read;
    if (bytes === null) return { kind: 'miss', header: nothing, seen: read.versions };
    try {
      const judged = this.#judge(request, read, bytes, budget);
      if (!(judged instanceof Promise)) return judged;
      return judged.catch((error: unknown) => this.#discard(request, read, bytes, error, budget));
    } catch (error) {
      return this.#discard(request, read, bytes, error, budget);
    }
  }

  /** What can't be read is taken out of the way. @throws what says nothing of the bytes */
  async #discard(
    { at }: ReadRequest,
    { versions }: RawRead,
    bytes: Buffer,
    error: unknown,
    budget: WaitBudget,
  ): Promise<Lookup> {
    if (!(error instanceof CorruptValueError)) throw error;
    const discarded = await this.store.values.discard(at, bytes, error, budget);
    return discarded ? { kind: 'miss', header: nothing, seen: versions } : blind;
  }

  #judge(request: ReadRequest, read: RawRead, bytes: Buffer, budget: WaitBudget): Lookup | Promise<Lookup> {
    const envelope = openEnvelope(bytes);
    if (envelope === 'newer') return blind;
    const header = bytes.subarray(0, headerBytes);
    if (envelope === 'older') return { kind: 'miss', header, seen: read.versions };
    const { amends } = this.store;
    if (amends.size > 0 && envelope.tags.some(({ name }) => isKeyAmended(request.keys.tagNamed(name).key, amends))) {
      return blind;
    }
    const staleSince = staleByVersions(request, read.versions, envelope);
    if (staleSince === 'unknown') return this.#judgeTags(request, read, envelope, header, budget);
    if (staleSince === 'invalid') return { kind: 'miss', header, seen: read.versions };
    return this.#judgeTime(request, read, envelope, header, staleSince, budget);
  }

  /** Asks for the versions of the tags that the caller has not named. */
  async #judgeTags(
    request: ReadRequest,
    read: RawRead,
    envelope: Envelope,
    header: Buffer,
    budget: WaitBudget,
  ): Promise<Lookup> {
    const tags = envelope.tags.map(({ name }) => request.keys.tagNamed(name));
    const miss: Lookup = { kind: 'miss', header, seen: read.versions };
    if (request.tags.some(({ name }) => !envelope.tags.some((tag) => tag.name === name))) return miss;
    const tagKeys = tags.map(({ key }) => key);
    request.fetch?.goBy(tagKeys);
    const versions = await this.store.readVersions(tagKeys, budget);
    if (versions === undefined) return blind;
    const namespaces = read.versions.slice(0, request.keys.versions.length);
    const complete = { ...request, tags, versionKeys: request.versionKeys };
    const staleSince = staleByVersions(complete, [...namespaces, ...versions], envelope);
    if (typeof staleSince === 'string') return miss;
    return this.#judgeTime(request, read, envelope, header, staleSince, budget);
  }

  #judgeTime(
    request: ReadRequest,
    read: RawRead,
    envelope: Envelope,
    header: Buffer,
    staleByMark: number,
    budget: WaitBudget,
  ): Lookup | Promise<Lookup> {
    const { freshUntil, expiresAt, markedStale } = envelope;
    // While it is fresh to its end, that it is still there says enough.
    if (staleByMark === never && freshUntil === expiresAt && !markedStale) {
      return this.#valueOf(request, read, envelope, header, never, 'fresh');
    }
    const staleSince = Math.min(staleByMark, freshUntil);
    const judged = (now: number) =>
      this.#valueOf(request, read, envelope, header, staleSince, markedStale || staleSince <= now ? 'stale' : 'fresh');
    if (staleByMark < never) return judged(staleSince);
    const { now } = this.store.serverClock;
    if (now !== undefined) return judged(now);
    return this.store.serverTime(budget).then((asked) => (asked === undefined ? blind : judged(asked)));
  }

  #valueOf(
    request: ReadRequest,
    read: RawRead,
    envelope: Envelope,
    header: Buffer,
    staleSince: number,
    kind: 'fresh' | 'stale',
  ): Lookup | Promise<Lookup> {
    const payload = this.codec.unpack(envelope.payload);
    if (!Buffer.isBuffer(payload) || request.schema !== undefined) {
      return this.#valueLater(request, read, envelope, header, staleSince, kind, payload);
    }
    const copy = () => this.codec.revive(payload);
    return new FoundEntry(kind, copy(), envelope, staleSince, header, read.versions, copy);
  }

  async #valueLater(
    { schema }: ReadRequest,
    { versions }: RawRead,
    envelope: Envelope,
    header: Buffer,
    staleSince: number,
    kind: 'fresh' | 'stale',
    packed: Buffer | Promise<Buffer>,
  ): Promise<Lookup> {
    const payload = await packed;
    const copy = () => this.codec.revive(payload);
    const value = copy();
    if (schema === undefined) return new FoundEntry(kind, value, envelope, staleSince, header, versions, copy);
    const result = await schema['~standard'].validate(value);
    if (result.issues !== undefined) {
      this.store.values.mismatched();
      return { kind: 'miss', header, seen: versions };
    }
    // What the schema makes of it, it makes for each reader.
    return new FoundEntry(kind, result.value, envelope, staleSince, header, versions, undefined);
  }
}

function isAmended({ at, versionKeys }: ReadRequest, amends: Amends): boolean {
  return [at.value, ...versionKeys].some((key) => isKeyAmended(key, amends));
}

function isKeyAmended(key: string, amends: Amends): boolean {
  return amends.has(key) || amends.has(staleId(key));
}

/**
 * @param seen as the request's `versionKeys`
 * @returns since when the entry is stale because somebody has marked what it hangs on; `Infinity` when nobody has
 */
function staleByVersions(
  { keys, tags }: Pick<ReadRequest, 'keys' | 'tags'>,
  seen: SeenVersions,
  envelope: Envelope,
): number | 'invalid' | 'unknown' {
  const { namespaces, tags: tagged } = envelope;
  const depth = keys.versions.length;
  if (namespaces.length !== depth) return 'invalid';
  let staleSince = never;
  for (let i = 0; i < depth; i++) {
    const since = staleBy(namespaces[i], seen[i]);
    if (since === undefined) return 'invalid';
    if (since < staleSince) staleSince = since;
  }
  if (tagged.length === 0) return tags.length === 0 ? staleSince : 'invalid';
  if (tagged.length !== tags.length) return tagged.length < tags.length ? 'invalid' : 'unknown';
  for (let i = 0; i < tagged.length; i++) {
    const tag = tagged[i];
    const place = tags[i]?.name === tag?.name ? i : tags.findIndex(({ name }) => name === tag?.name);
    if (place === -1) return 'invalid'; // As many tags as were named, and another one among them.
    const since = staleBy(tag?.version, seen[depth + place]);
    if (since === undefined) return 'invalid';
    if (since < staleSince) staleSince = since;
  }
  return staleSince;
}

/** @returns since when what was loaded under a version is stale, in milliseconds; `undefined` when it does not count any more */
function staleBy(held: Version | undefined, now: Version | undefined): number | undefined {
  if (held === undefined || now === undefined || held.hard !== now.hard) return undefined;
  return held.soft === now.soft ? never : Math.floor(now.soft / 1_000);
}
