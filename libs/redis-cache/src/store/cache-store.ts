import type { RedisConnection } from '@redstart/redis-core';
import type { ResolvedCacheOptions } from '../cache.options.js';
import type { StatsCounter } from '../cache.stats.js';
import type { EntryKeys } from '../keys.js';
import { leaseScript } from '../scripts/lease.script.js';
import { releaseScript } from '../scripts/release.script.js';
import { tellArguments, type WakeChannels } from '../scripts/wake.js';
import { ensureVersionScript } from '../scripts/versions.script.js';
import type { Version } from '../tags/version.js';
import { Amends } from './amends.js';
import { WaitBudget } from './budget.js';
import { callOf, Commands } from './commands.js';
import { Leases } from './leases.js';
import { NearChanges, type ChangeListener } from './near-changes.js';
import { ReadBatch, type RawRead } from './read-batch.js';
import { ServerClock } from './server-clock.js';
import { Values } from './values.js';
import { Versions } from './versions.js';

/** Nobody waits for the answer of a request when the application starts. */
const probeBudgetMs = 5_000;

/**
 * All that the cache says to Redis.
 *
 * What a load needs never rejects because of Redis; what a caller asks for by name does: see {@link Commands}.
 */
export class CacheStore {
  readonly serverClock: ServerClock;
  readonly values: Values;
  readonly versions: Versions;
  readonly leases: Leases;
  /** What could not be invalidated yet. */
  readonly amends: Amends;
  readonly #commands: Commands;
  readonly #reads: ReadBatch;

  constructor(
    private readonly connection: RedisConnection,
    private readonly options: ResolvedCacheOptions,
    stats: StatsCounter,
    private readonly wakes: WakeChannels,
    cacheVersion: string,
    near?: ChangeListener,
  ) {
    const changes = new NearChanges(near);
    this.#commands = new Commands(connection, stats);
    this.#reads = new ReadBatch(connection, options.budgetMs);
    this.serverClock = new ServerClock(connection.clock, () => this.#askTime());
    this.versions = new Versions(this.#commands, this.#reads, options, changes);
    this.amends = new Amends(
      connection.client,
      connection.clock,
      options.budgetMs,
      { id: cacheVersion, send: (budget) => this.versions.bumpOnce(cacheVersion, budget) },
      () => {
        stats.count('madeGood');
      },
    );
    connection.beforeClose(() => this.amends.flush());
    this.values = new Values(this.#commands, this.amends, stats, wakes, changes, options.budgetMs);
    this.leases = new Leases(this.#commands, options, stats, wakes, changes);
  }

  /**
   * One GET, or a part of one MGET. Every read takes this way, so it makes no promise but the one that it returns.
   *
   * @param then what is made of it; without an answer of Redis, of nothing
   */
  read<T>(
    value: string | undefined,
    versionKeys: readonly string[],
    budget: WaitBudget,
    then: (read: RawRead | undefined) => T | Promise<T>,
  ): Promise<T> {
    return this.#commands.answering(budget, then, (leftMs, answer) => {
      this.#reads.send(value, versionKeys, leftMs, answer);
    });
  }

  readVersions(keys: readonly string[], budget: WaitBudget): Promise<readonly (Version | undefined)[] | undefined> {
    return this.read(undefined, keys, budget, (read) => read?.versions);
  }

  /** One TIME. @returns `undefined` when Redis can't tell */
  serverTime(budget: WaitBudget): Promise<number | undefined> {
    return this.#commands.answered(budget, () => this.serverClock.get());
  }

  /** Raises a version, so that nothing that hangs on it is served again. @throws RedisUnavailableError · RedisCommandError */
  bump(key: string, budget: WaitBudget): Promise<void> {
    return this.versions.bump(key, this.amends, budget);
  }

  /** Makes everything stale that hangs on a version. @throws RedisUnavailableError · RedisCommandError */
  mark(key: string, budget: WaitBudget): Promise<void> {
    return this.versions.mark(key, this.amends, budget);
  }

  /**
   * Tries what a cache needs of Redis with a key of its own, so that a permission that is missing shows when the application starts.
   * @throws RedisUnavailableError · RedisCommandError
   */
  async probe(at: EntryKeys, versionKey: string): Promise<void> {
    const commands = this.#commands;
    const budget = new WaitBudget(this.connection.clock, Math.max(this.options.budgetMs, probeBudgetMs));
    const wake = await this.wakes.channel(at, budget.leftMs);
    const keys = [at.value, at.lease];
    await this.#reads.read(at.value, [versionKey], budget.leftMs);
    await commands.command(budget, 'cache.lease', leaseScript, keys, [probeBudgetMs, 'probe', '', 'w']);
    await commands.command(budget, 'cache.version', ensureVersionScript, [versionKey], [this.options.versionTtlMs]);
    // Not the lease of the probe: so it tells of the end as well.
    await commands.command(budget, 'cache.release', releaseScript, keys, ['other', 'gone', 0, ...tellArguments(wake)]);
    await this.connection.call(callOf('cache.delete', budget.leftMs), (client) => client.unlink(...keys));
  }

  /** What happens in the background, and whom nobody waits for. */
  warn(kind: string, message: string): void {
    this.#commands.warn(kind, message);
  }

  async #askTime(): Promise<number> {
    const call = callOf('cache.time', this.options.budgetMs);
    const [seconds, micros] = await this.connection.call(call, (client) => client.time());
    return Number(seconds) * 1_000 + Number(micros) / 1_000;
  }
}
