import type { ResolvedCacheOptions } from '../cache.options.js';
import {
  bumpVersionScript,
  ensureVersionScript,
  markVersionScript,
  type ReadVersion,
} from '../scripts/versions.script.js';
import { parseVersion, raisedAt, type Version } from '../tags/version.js';
import { staleId, type Amends } from './amends.js';
import type { WaitBudget } from './budget.js';
import type { Commands } from './commands.js';
import type { NearChanges } from './near-changes.js';
import type { ReadBatch } from './read-batch.js';

/** So many versions are remembered as looked after; then it begins anew. */
const mostKept = 10_000;
/** How far the clocks of two nodes are apart at most where they are looked after. */
const clockToleranceMicros = 1_000_000;

/** When a load has begun. */
export interface LoadStart {
  /** When it got its lease, by the clock of the node that gave it. */
  readonly startedAtMicros: number;
  /** When its loader started, by the clock of this process. */
  readonly loadingAt: number;
}

/** The versions of tags and namespaces in Redis: made to be there before what hangs on them is stored, and raised by an invalidation. */
export class Versions {
  /** When this process has last seen to it that a version lives on, on its own clock. */
  readonly #kept = new Map<string, number>();

  constructor(
    private readonly commands: Commands,
    private readonly reads: ReadBatch,
    private readonly options: ResolvedCacheOptions,
    private readonly near: NearChanges,
  ) {}

  /**
   * The versions of now, which are made to exist and to live longer than any entry. What has been seen of them lately serves as well: an older one only makes
   * an entry count for less: known at once, but for one EVALSHA for each that is not there, and for each now and then.
   *
   * @param seen as `keys`
   * @returns `undefined` when Redis can't tell
   */
  snapshot(
    keys: readonly string[],
    seen: readonly (Version | undefined)[],
    budget: WaitBudget,
  ): readonly Version[] | Promise<readonly Version[] | undefined> {
    const now = this.#now;
    return keys.every((key) => this.#isKept(key, now)) && isComplete(seen, keys.length)
      ? seen
      : this.#ensureAll(keys, seen, now, budget);
  }

  async #ensureAll(
    keys: readonly string[],
    seen: readonly (Version | undefined)[],
    now: number,
    budget: WaitBudget,
  ): Promise<readonly Version[] | undefined> {
    const versions = await Promise.all(
      keys.map(async (key, index) => {
        const known = seen[index];
        return known !== undefined && this.#isKept(key, now) ? known : this.#ensure(key, now, budget);
      }),
    );
    const known = versions.filter((version) => version !== undefined);
    return known.length === versions.length ? known : undefined;
  }

  /** As {@link snapshot}, of versions that nobody has seen yet, for a caller who has to hear of a failure. @throws RedisUnavailableError · RedisCommandError */
  async claim(keys: readonly string[], budget: WaitBudget): Promise<Version[]> {
    const { versions: seen } = await this.commands.counted(
      budget.spend((leftMs) => this.reads.read(undefined, keys, Math.max(1, Math.ceil(leftMs)))),
    );
    const now = this.#now;
    return Promise.all(
      keys.map(async (key, index) => {
        const known = seen[index];
        if (known !== undefined && this.#isKept(key, now)) return known;
        const made = await this.commands.command(
          budget,
          'cache.version',
          ensureVersionScript,
          [key],
          [this.options.versionTtlMs],
        );
        this.#keep(key, now);
        return parseVersion(made.stored) ?? { hard: 0, soft: 0 };
      }),
    );
  }

  /**
   * The versions of tags that became known only after a load had begun. One EVALSHA for each.
   *
   * @returns `raised` when one of them has changed since; `undefined` when Redis can't tell
   */
  async lateSnapshot(
    keys: readonly string[],
    start: LoadStart,
    budget: WaitBudget,
  ): Promise<Version[] | 'raised' | undefined> {
    const now = this.#now;
    const asked = await Promise.all(keys.map((key) => this.#read(key, now, budget)));
    const versions: Version[] = [];
    for (const read of asked) {
      const version = parseVersion(read?.stored ?? null);
      if (read === undefined || version === undefined) return undefined;
      if (this.#isRaisedSince(start, version, read.nowMicros)) return 'raised';
      versions.push(version);
    }
    return versions;
  }

  /**
   * Whether a version has been raised since a load began: by the clocks of the nodes, of which a Cluster has several, and by how long ago it was raised and how long the load has
   * taken, which are both told by one clock each. So neither a clock that is behind or has been set back hides it, nor a pause of this process.
   */
  #isRaisedSince({ startedAtMicros, loadingAt }: LoadStart, version: Version, nowMicros: number): boolean {
    const raised = raisedAt(version);
    if (raised === undefined) return false;
    const toleranceMicros = this.commands.connection.cluster ? clockToleranceMicros : 0;
    const loadMicros = (this.#now - loadingAt) * 1_000;
    return raised >= startedAtMicros - toleranceMicros || nowMicros - raised <= loadMicros;
  }

  /** Raises a version. Made good later when it fails. One EVALSHA. @throws RedisUnavailableError · RedisCommandError */
  async bump(key: string, amends: Amends, budget: WaitBudget): Promise<void> {
    await amends.attempt(key, (left) => this.bumpOnce(key, left), budget);
  }

  /** As {@link bump}, without a second attempt. */
  bumpOnce(key: string, budget: WaitBudget): Promise<Buffer> {
    const args = [this.options.versionTtlMs];
    return this.near.changing([key], this.commands.command(budget, 'cache.invalidate', bumpVersionScript, [key], args));
  }

  /** Raises the soft part of a version. Made good later when it fails. One EVALSHA. @throws RedisUnavailableError · RedisCommandError */
  async mark(key: string, amends: Amends, budget: WaitBudget): Promise<void> {
    const args = [this.options.versionTtlMs];
    const send = (left: WaitBudget) =>
      this.near.changing([key], this.commands.command(left, 'cache.mark-tags', markVersionScript, [key], args));
    await amends.attempt(staleId(key), send, budget);
  }

  async #ensure(key: string, now: number, budget: WaitBudget): Promise<Version | undefined> {
    return parseVersion((await this.#read(key, now, budget))?.stored ?? null);
  }

  async #read(key: string, now: number, budget: WaitBudget): Promise<ReadVersion | undefined> {
    const reply = await this.commands.ask(budget, 'cache.version', (call) =>
      this.commands.connection.scripts.run(call, ensureVersionScript, [key], [this.options.versionTtlMs]),
    );
    if (reply !== undefined) this.#keep(key, now);
    return reply;
  }

  get #now(): number {
    return this.commands.connection.clock.now();
  }

  #isKept(key: string, now: number): boolean {
    return now - (this.#kept.get(key) ?? -Infinity) < this.options.keepVersionEveryMs;
  }

  #keep(key: string, now: number): void {
    if (this.#kept.size >= mostKept) this.#kept.clear();
    this.#kept.set(key, now);
  }
}

function isComplete(seen: readonly (Version | undefined)[], length: number): seen is readonly Version[] {
  return seen.length === length && seen.every((version) => version !== undefined);
}
