import { randomBytes } from 'node:crypto';
import type { Renewal, RenewalGroup, ScriptArgument } from '@redstart/redis-core';
import type { ResolvedCacheOptions } from '../cache.options.js';
import type { StatsCounter } from '../cache.stats.js';
import type { EntryKeys } from '../keys.js';
import { leaseScript, type LeaseReply } from '../scripts/lease.script.js';
import { releaseScript } from '../scripts/release.script.js';
import { renewLeases } from '../scripts/renew.script.js';
import { storedBytes, storeScript, type NewEntry, type OpenLease } from '../scripts/store.script.js';
import { tellArguments, type LoadEnd, type WakeChannel, type WakeChannels } from '../scripts/wake.js';
import { writeLeaseScript, writeMark } from '../scripts/write-lease.script.js';
import type { WaitBudget } from './budget.js';
import { callOf, type Commands } from './commands.js';
import type { NearChanges } from './near-changes.js';
import { ScriptBatch } from './script-batch.js';

/** Whether anything has changed or deleted the value while it was being loaded; `unknown` when Redis did not answer. */
export type Freshness = 'fresh' | 'stale' | 'unknown';

/** How a load may begin; with an open lease, its token. `undefined`: Redis can't tell, so nothing is to be stored. */
export type LeaseOutcome =
  { readonly kind: 'open'; readonly lease: OpenLease } | Exclude<LeaseReply, { readonly kind: 'open' }> | undefined;

/** How somebody asks for a lease. */
export interface LeaseWish {
  /** The first bytes of what has been seen under the key. */
  readonly header: Buffer;
  /** To be told of the end of another load. */
  readonly waits: boolean;
  /** Not to run a loader so soon after one that has thrown. */
  readonly heedsFailure: boolean;
}

interface HeldLease {
  readonly key: string;
  readonly token: string;
  /** When it is given up, by this process' clock, or a loader that never settles would keep every process from loading for as long as its own lives. */
  readonly until: number;
  readonly lost: () => void;
}

/** For how many times its length a lease is kept, or for longer where somebody waits longer. */
const longestInLeases = 10;

/** The leases of loads (and of writes) in Redis: opened before the loader runs, kept while it does, and ended by what it has brought. */
export class Leases {
  readonly #renewals: RenewalGroup<HeldLease>;
  readonly #openings: ScriptBatch<LeaseReply>;
  readonly #commits: ScriptBatch<boolean>;
  readonly #shared: readonly ScriptArgument[];
  /** Begins every token of this process, so that it knows its own. */
  readonly #owner = randomBytes(9).toString('base64url');
  #tokens = 0;

  constructor(
    private readonly commands: Commands,
    private readonly options: ResolvedCacheOptions,
    private readonly stats: StatsCounter,
    private readonly wakes: WakeChannels,
    private readonly near: NearChanges,
  ) {
    const { connection } = commands;
    this.#openings = new ScriptBatch(connection, 'cache.lease', leaseScript, options.budgetMs);
    this.#commits = new ScriptBatch(connection, 'cache.store', storeScript, options.budgetMs);
    this.#shared = [options.leaseMs];
    this.#renewals = {
      renew: (leases) => this.#renew(leases),
      onError: (error) => {
        commands.failed(error);
      },
    };
  }

  /** A part of one EVALSHA. */
  open(at: EntryKeys, wish: LeaseWish, budget: WaitBudget): Promise<LeaseOutcome> {
    const token = `${this.#owner}.${(this.#tokens += 1).toString(36)}`;
    const args = leaseArguments(token, wish);
    const outcomeOf = (reply: LeaseReply | undefined): LeaseOutcome =>
      reply?.kind === 'open' ? { kind: 'open', lease: { token, startedAtMicros: reply.startedAtMicros } } : reply;
    return this.commands.answering(budget, outcomeOf, (leftMs, answer) => {
      this.#openings.send({ at, shared: this.#shared, args, leftMs }, answer);
    });
  }

  /** The lease of a write, whoever has one. Its loads wait for it: it is none of those that {@link isOwn} knows. One EVALSHA. @returns `undefined` when Redis can't tell */
  async openWrite(at: EntryKeys, budget: WaitBudget): Promise<OpenLease | undefined> {
    const token = `${writeMark}${this.#owner}.${(this.#tokens += 1).toString(36)}`;
    const args = [token, this.options.leaseMs];
    const startedAtMicros = await this.commands.askScript(budget, 'cache.write-lease', writeLeaseScript, at, args);
    return startedAtMicros === undefined ? undefined : { token, startedAtMicros };
  }

  /** Whether a lease was given to this process, by this very store. */
  isOwn(token: string): boolean {
    return token.startsWith(`${this.#owner}.`);
  }

  /**
   * Keeps a lease alive until stopped, for ten times its length at most, or for as long as somebody waits if that is longer.
   * `lost` is told when it is gone, or left to lapse.
   *
   * @param patienceMs how long somebody waits for what is under way
   */
  keep(at: EntryKeys, { token }: OpenLease, patienceMs: number, lost: () => void): Renewal {
    const { leases, clock } = this.commands.connection;
    const { leaseMs, renewEveryMs } = this.options;
    const until = clock.now() + Math.max(longestInLeases * leaseMs, patienceMs);
    return leases.track(this.#renewals, { key: at.lease, token, until, lost }, renewEveryMs);
  }

  /** Stores a loaded value if its lease is intact. A part of one EVALSHA. */
  commit(
    at: EntryKeys,
    entry: NewEntry,
    lease: OpenLease & { readonly loadMs: number },
    budget: WaitBudget,
  ): Promise<Freshness> {
    const args = [lease.token, storedBytes(entry, lease)];
    const wake = this.wakes.known(at);
    return wake === undefined ? this.#askAndCommit(at, args, budget) : this.#commit(at, wake, args, budget);
  }

  async #askAndCommit(at: EntryKeys, args: readonly ScriptArgument[], budget: WaitBudget): Promise<Freshness> {
    const wake = await this.#wakeChannel(at, budget);
    return wake === undefined ? 'unknown' : this.#commit(at, wake, args, budget);
  }

  #commit(at: EntryKeys, wake: WakeChannel, args: readonly ScriptArgument[], budget: WaitBudget): Promise<Freshness> {
    const ended = (stored: boolean | undefined): Freshness => {
      this.near.changed([at.value]);
      if (stored === true) this.stats.count('stores');
      return freshness(stored);
    };
    return this.commands.answering(budget, ended, (leftMs, answer) => {
      this.#commits.send({ at, shared: tellArguments(wake), args, leftMs }, answer);
    });
  }

  /** Ends a load that stores nothing. One EVALSHA. @param quietMs for how long no loader is to be run then */
  async release(at: EntryKeys, token: string, end: LoadEnd, budget: WaitBudget, quietMs = 0): Promise<Freshness> {
    const wake = await this.#wakeChannel(at, budget);
    if (wake === undefined) return 'unknown';
    const args = [token, end, quietMs, ...tellArguments(wake)];
    return freshness(await this.commands.askScript(budget, 'cache.release', releaseScript, at, args));
  }

  #wakeChannel(at: EntryKeys, budget: WaitBudget): Promise<WakeChannel | undefined> {
    return this.commands.answered(budget, (leftMs) => this.wakes.channel(at, leftMs));
  }

  async #renew(leases: readonly HeldLease[]): Promise<void> {
    const { budgetMs, leaseMs } = this.options;
    const { clock, scripts } = this.commands.connection;
    const now = clock.now();
    const kept = leases.filter(({ until, lost }) => {
      if (now >= until) lost();
      return now < until;
    });
    if (kept.length === 0) return;
    const call = { ...callOf('cache.renew', budgetMs), essential: true };
    const held = await renewLeases(scripts, call, kept, leaseMs);
    kept.forEach(({ lost }, index) => {
      if (held[index] === false) lost();
    });
  }
}

function leaseArguments(token: string, { header, waits, heedsFailure }: LeaseWish): ScriptArgument[] {
  return [token, header.length === 0 ? '' : header, `${waits ? 'w' : ''}${heedsFailure ? '' : '!'}`];
}

function freshness(intact: boolean | undefined): Freshness {
  return intact === undefined ? 'unknown' : intact ? 'fresh' : 'stale';
}
