import type { RedisConnection } from '@redstart/redis-core';
import type { CoherenceKeys } from '../keys.js';
import type { FoundEntry } from '../store/reader.js';
import { Coherence, type CoherenceMode } from './coherence.js';
import { NearTier, type Kept, type NearFetch, type NearTierOptions } from './near-tier.js';

/** {@link NearOptions}, complete and checked. Durations are milliseconds. */
export interface ResolvedNearOptions extends NearTierOptions {
  readonly enabled: boolean;
  readonly coherence: CoherenceMode;
  readonly maxLagMs: number;
}

/** What the near tier knows of an entry beside its value. */
export interface AboutEntry {
  /** As it was found, without what would keep the bytes of the value in memory. */
  readonly found: Omit<FoundEntry, 'value' | 'copy'>;
  /** The keys of `found.seen`. */
  readonly versionKeys: readonly string[];
}

export type KeptEntry = Kept<AboutEntry>;

/**
 * The near tier of one cache, and what keeps it true.
 *
 * - *idle*: nothing has been read or changed yet. No connection.
 * - *running*: from the first time. Whether it serves, `Coherence` decides.
 * - *closed*: with the connection. Reads go to Redis.
 */
export class NearCache {
  readonly tier: NearTier<AboutEntry>;
  readonly coherence: Coherence;
  #state: 'idle' | 'running' | 'closed' = 'idle';

  constructor(
    connection: RedisConnection,
    keys: CoherenceKeys,
    options: ResolvedNearOptions,
    stats: { count(name: 'evictions'): void },
  ) {
    this.coherence = new Coherence(connection, { mode: options.coherence, maxLagMs: options.maxLagMs }, keys, {
      onChanged: (changed) => {
        for (const key of changed) this.tier.changed(key);
      },
      onGap: () => {
        this.tier.forget();
      },
    });
    this.tier = new NearTier(options, connection.clock, this.coherence, () => {
      stats.count('evictions');
    });
    connection.beforeClose(() => {
      this.#state = 'closed';
      this.coherence.stop();
      return Promise.resolve();
    });
  }

  /** Before keys are read: see {@link NearTier.fetch}. */
  fetch(keys: readonly string[]): NearFetch<AboutEntry> | undefined {
    this.#run();
    return this.tier.fetch(keys);
  }

  /**
   * This process has changed keys, or may have. They are forgotten at once; where Redis does not tell the others, this does.
   * @returns when it has been told, if that takes time
   */
  changed(keys: readonly string[]): Promise<void> | undefined {
    this.#run();
    for (const key of keys) this.tier.changed(key);
    return this.coherence.announce(keys);
  }

  /** As {@link changed}, of keys that nobody has counted. */
  changedMany(): Promise<void> | undefined {
    this.#run();
    this.tier.forget();
    return this.coherence.announce([]);
  }

  #run(): void {
    if (this.#state !== 'idle') return;
    this.#state = 'running';
    this.coherence.start();
  }
}
