import type { Clock, RedisConnection } from '@redstart/redis-core';
import type { ResolvedCacheOptions } from '../cache.options.js';
import { StatsCounter } from '../cache.stats.js';
import { EntryCodec } from '../entry/entry-codec.js';
import { Landings } from '../flight/landings.js';
import { Loads } from '../flight/loads.js';
import { Openings } from '../flight/opening.js';
import { WakeUps } from '../flight/wake-ups.js';
import { Refreshes } from '../flight/refreshes.js';
import { Writes } from '../flight/writes.js';
import type { CacheKeys } from '../keys.js';
import { NearCache } from '../near/near-cache.js';
import { NearReader } from '../near/near-reader.js';
import { CacheStore } from '../store/cache-store.js';
import { Reader } from '../store/reader.js';

/** What a cache and its namespaces have in common. */
export interface CacheParts {
  readonly connection: RedisConnection;
  readonly options: ResolvedCacheOptions;
  readonly clock: Clock;
  readonly store: CacheStore;
  readonly reader: Pick<Reader, 'look'>;
  /** The short way to a hit; undefined without a near tier. */
  readonly near: NearReader | undefined;
  readonly codec: EntryCodec;
  readonly loads: Loads;
  readonly refreshes: Refreshes;
  readonly writes: Writes;
  readonly stats: StatsCounter;
}

/** Builds a cache from its parts: nothing is sent before the first call. */
export function createParts(
  connection: RedisConnection,
  options: ResolvedCacheOptions,
  keys: CacheKeys,
  name: string,
): CacheParts {
  const { clock } = connection;
  const stats = new StatsCounter({ cache: name, connection: connection.name });
  const codec = new EntryCodec(options);
  const wakeUps = new WakeUps(connection, keys, options.budgetMs);
  // One that keeps nothing itself may still have to tell the others.
  const hasNear = options.near.enabled || options.near.coherence === 'pubsub';
  const nearCache = hasNear ? new NearCache(connection, keys.coherence(), options.near, stats) : undefined;
  const store = new CacheStore(connection, options, stats, wakeUps, keys.version, nearCache);
  const reader = new Reader(store, codec);
  const near = nearCache && options.near.enabled ? new NearReader(nearCache, reader, store, codec) : undefined;
  const openings = new Openings(store, reader, wakeUps, clock, options);
  const landings = new Landings(store, codec, stats, options, (tags) => tags.map((tag) => keys.tag(tag)));
  const loads = new Loads(store, openings, landings, stats, clock, options);
  const writes = new Writes();
  const refreshes = new Refreshes(clock);
  return { connection, options, clock, store, reader: near ?? reader, near, codec, loads, refreshes, writes, stats };
}
