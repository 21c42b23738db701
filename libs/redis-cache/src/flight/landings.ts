import { UnsupportedValueError } from '@redstart/redis-core';
import type { ResolvedCacheOptions } from '../cache.options.js';
import type { StatsCounter } from '../cache.stats.js';
import type { EntryCodec } from '../entry/entry-codec.js';
import type { HeldVersions, TaggedVersion } from '../entry/envelope.js';
import { lifetimeOf, type Lifetime } from '../entry/lifetime.js';
import type { LoadNotes } from '../load/load-context.js';
import type { WaitBudget } from '../store/budget.js';
import type { CacheStore } from '../store/cache-store.js';
import type { Freshness } from '../store/leases.js';
import type { LoadStart } from '../store/versions.js';
import type { TagKey } from '../keys.js';
import type { Version } from '../tags/version.js';
import type { Flight, Landing, LoadedUnder } from './flight.js';
import type { LoadRequest } from './load-request.js';
import type { Permit } from './opening.js';

/** A value that a loader has brought. */
export interface Loaded {
  readonly value: unknown;
  readonly notes: LoadNotes;
  readonly loadMs: number;
}

/** More would make an entry mostly tags. */
export const mostTags = 100;

/** Brings what has been loaded to Redis, and tells who may have it. */
export class Landings {
  constructor(
    private readonly store: CacheStore,
    private readonly codec: EntryCodec,
    private readonly stats: StatsCounter,
    private readonly options: ResolvedCacheOptions,
    private readonly tagsOf: (tags: LoadNotes['tags']) => TagKey[],
  ) {}

  /** @param permit without it nothing is stored */
  land(
    flight: Flight,
    request: LoadRequest,
    permit: Permit | undefined,
    loaded: Loaded,
    budget: WaitBudget,
  ): Landing | Promise<Landing> {
    const snapshot = this.#snapshot(request, loaded.value);
    const under: { known?: LoadedUnder } = {};
    const landed = (freshness: Freshness): Landing => {
      if (freshness === 'stale') this.stats.count('staleLoads');
      return {
        value: loaded.value,
        sharedWith: freshness === 'fresh' ? 'all' : 'early',
        copy: () => (snapshot === undefined ? loaded.value : this.codec.revive(snapshot)),
        under: under.known,
      };
    };
    const brought = this.#bring(flight, request, permit, loaded, snapshot, under, budget);
    return brought instanceof Promise ? brought.then(landed) : landed(brought);
  }

  #bring(
    flight: Flight,
    request: LoadRequest,
    permit: Permit | undefined,
    loaded: Loaded,
    snapshot: Buffer | undefined,
    under: { known?: LoadedUnder },
    budget: WaitBudget,
  ): Freshness | Promise<Freshness> {
    if (permit === undefined) return isSuperseded(flight) ? 'stale' : 'unknown';
    const { lease, versions } = permit;
    const drop = () => this.store.leases.release(request.at, lease.token, 'unstored', budget);
    const declared = { keys: request.versionKeys, versions };
    under.known = mayHangOnMore(request, loaded) ? moreThanDeclared : declared;
    // The lease has gone with the deletion, or will: nothing is left to release.
    if (isSuperseded(flight)) return 'stale';
    const lifetime = this.#lifetime(request, loaded);
    if (snapshot === undefined || lifetime === undefined) return drop();
    const late = this.#lateTags(request, loaded);
    if (request.tags.length + late.length > mostTags) {
      this.store.values.refused(request.at, new Error(`it has more than ${mostTags} tags.`));
      return drop();
    }
    const send = (payload: Buffer, lateVersions: readonly Version[]): Freshness | Promise<Freshness> => {
      // Asked once more, because packing takes a while and nothing may be sent behind the back of a `set`.
      if (isSuperseded(flight)) return 'stale';
      const entry = { payload, lifetime, under: heldVersions(request, versions, late, lateVersions) };
      return this.store.leases.commit(request.at, entry, { ...lease, loadMs: loaded.loadMs }, budget);
    };
    if (late.length === 0) {
      under.known = declared;
      const payload = this.codec.pack(snapshot);
      return Buffer.isBuffer(payload) ? send(payload, []) : payload.then((packed) => send(packed, []));
    }
    return this.#bringLate(late, { ...lease, loadingAt: flight.loadingAt }, snapshot, drop, send, budget);
  }

  /** With tags that nobody knew of before the loader ran. */
  async #bringLate(
    late: readonly TagKey[],
    start: LoadStart,
    snapshot: Buffer,
    drop: () => Promise<Freshness>,
    send: (payload: Buffer, lateVersions: readonly Version[]) => Freshness | Promise<Freshness>,
    budget: WaitBudget,
  ): Promise<Freshness> {
    const keys = late.map(({ key }) => key);
    const versions = await this.store.versions.lateSnapshot(keys, start, budget);
    if (versions === undefined) return drop();
    if (versions === 'raised') {
      await drop();
      return 'stale';
    }
    return send(await this.codec.pack(snapshot), versions);
  }

  /** Tags that nobody knew of before the loader ran. */
  #lateTags({ tags, tagsOf }: LoadRequest, { value, notes }: Loaded): TagKey[] {
    const named = tagsOf?.(value) ?? [];
    if (named.length === 0 && notes.tags.length === 0) return [];
    const said = new Map([...named, ...this.tagsOf(notes.tags)].map((tag) => [tag.name, tag]));
    for (const { name } of tags) said.delete(name);
    return [...said.values()];
  }

  /** @returns `undefined` when it is not to be stored */
  #lifetime({ options, sliding, unless }: LoadRequest, { value, notes }: Loaded): Lifetime | undefined {
    if (notes.skipped || unless(value)) return undefined;
    const isNull = value === null || value === undefined;
    if (isNull && options.nullTtlMs === undefined) return undefined;
    const asked = notes.ttlMs ?? Math.min(options.ttlMs, isNull ? (options.nullTtlMs ?? Infinity) : Infinity);
    const staleMs = Math.max(options.revalidateMs, options.staleIfErrorMs);
    return lifetimeOf(asked, staleMs, sliding, this.options);
  }

  /** The value as it was loaded: nobody has had a chance to change it yet. */
  #snapshot({ at }: LoadRequest, value: unknown): Buffer | undefined {
    try {
      return this.codec.snapshot(value);
    } catch (error) {
      // Whatever else a getter or a `toJSON` throws: the loader has succeeded, and its caller gets the value.
      const refusal = error instanceof UnsupportedValueError ? error : new Error('reading it has failed.');
      this.store.values.refused(at, refusal);
      return undefined;
    }
  }
}

/** No caller has seen the versions of all that such a value hangs on. */
const moreThanDeclared: LoadedUnder = { keys: ['others as well'], versions: [undefined] };

/** Whether there may be tags that nobody knew of before the loader ran. Which ones is not asked of a value that is not to be stored: it may be none that has any. */
function mayHangOnMore({ tagsOf }: LoadRequest, { notes }: Loaded): boolean {
  return tagsOf !== undefined || notes.tags.length > 0;
}

/** What an entry says of the versions that it hangs on. `versions` are those of the namespaces, then of the declared tags. */
export function heldVersions(
  { keys, tags }: Pick<LoadRequest, 'keys' | 'tags'>,
  versions: readonly Version[],
  late: readonly TagKey[] = [],
  lateVersions: readonly Version[] = [],
): HeldVersions {
  const depth = keys.versions.length;
  // As most entries are.
  if (tags.length === 0 && late.length === 0) return { namespaces: versions, tags: noTaggedVersions };
  const declared = tags.flatMap(({ name }, index) => tagged(name, versions[depth + index]));
  const further = late.flatMap(({ name }, index) => tagged(name, lateVersions[index]));
  return { namespaces: versions.slice(0, depth), tags: [...declared, ...further] };
}

const noTaggedVersions: readonly TaggedVersion[] = Object.freeze([]);

function tagged(name: string, version: Version | undefined): TaggedVersion[] {
  return version === undefined ? [] : [{ name, version }];
}

/** A function, because the compiler takes a property that was false once for false ever after, whatever is awaited in between. */
function isSuperseded(flight: Flight): boolean {
  return flight.superseded;
}
