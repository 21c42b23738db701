import { randomBytes } from 'node:crypto';
import {
  CorruptValueError,
  RedisCommandError,
  RedstartError,
  type RedisCall,
  type RedisConnection,
  type Renewal,
  type RenewalGroup,
  Warnings,
} from '@redstart/redis-core';
import { withJitter, type ResolvedCacheOptions } from '../cache.options.js';
import type { StatsCounter } from '../cache.stats.js';
import type { CacheEntry, EntryCodec } from '../entry/entry-codec.js';
import type { EntryKeys } from '../keys.js';
import { discardBytes } from '../scripts/discard.script.js';
import { openLease } from '../scripts/lease.script.js';
import { renewLeases } from '../scripts/renew.script.js';
import { storeEntry, type NewEntry, type OpenLease } from '../scripts/store.script.js';
import type { WaitBudget } from './budget.js';

/** What a read found. `blind`: Redis did not answer, or holds what is not ours; nothing may be stored on the strength of it. */
export type ReadOutcome =
  | { readonly kind: 'hit'; readonly entry: CacheEntry<unknown> }
  | { readonly kind: 'miss' }
  | { readonly kind: 'blind' };

/** How a load may begin. `found`: another process has stored the value by now. `blind`: without a lease, so its result is not stored. */
export type LeaseOutcome =
  | { readonly kind: 'found'; readonly entry: CacheEntry<unknown> }
  | { readonly kind: 'open'; readonly lease: OpenLease }
  | { readonly kind: 'blind' };

/** Whether anything has changed or deleted the value while it was being loaded; `unknown` when Redis did not answer. */
export type Freshness = 'fresh' | 'stale' | 'unknown';

interface HeldLease {
  readonly key: string;
  readonly token: string;
  readonly lost: () => void;
}

/**
 * All that the cache says to Redis.
 *
 * What a load needs never rejects because of Redis: it answers `blind` or `unknown`, counts the failure and warns. What a caller asks for by name
 * (`write`, `remove`) rejects, because only the caller knows what a value that stays costs.
 */
export class CacheStore {
  readonly #warnings: Warnings;
  readonly #renewals: RenewalGroup<HeldLease>;

  constructor(
    private readonly connection: RedisConnection,
    private readonly options: ResolvedCacheOptions,
    private readonly codec: EntryCodec,
    private readonly stats: StatsCounter,
  ) {
    this.#warnings = new Warnings('RedisCache', connection.clock);
    this.#renewals = {
      renew: (leases) => this.#renew(leases),
      onError: (error) => {
        this.#failed(error);
      },
    };
  }

  /** One GET. */
  async read(at: EntryKeys, budget: WaitBudget): Promise<ReadOutcome> {
    const bytes = await this.#ask(budget, 'cache.get', (call) =>
      this.connection.call(call, (client) => client.getBuffer(at.value)),
    );
    if (bytes === undefined) return { kind: 'blind' };
    if (bytes === null) return { kind: 'miss' };
    return this.#entryOf(at, bytes, budget);
  }

  /** One EVALSHA. */
  async openLease(at: EntryKeys, budget: WaitBudget): Promise<LeaseOutcome> {
    const token = randomBytes(12).toString('base64url');
    const reply = await this.#ask(budget, 'cache.lease', (call) =>
      openLease(this.connection.scripts, call, at, token, this.options.leaseMs),
    );
    if (reply === undefined) return { kind: 'blind' };
    if (reply.found === undefined) return { kind: 'open', lease: reply };
    const read = await this.#entryOf(at, reply.found, budget);
    return read.kind === 'hit' ? { kind: 'found', entry: read.entry } : { kind: 'blind' };
  }

  /** Keeps a lease alive until stopped. `lost` is told when it is gone. */
  keep(at: EntryKeys, { token }: OpenLease, lost: () => void): Renewal {
    return this.connection.leases.track(this.#renewals, { key: at.lease, token, lost }, this.options.renewEveryMs);
  }

  /** Stores a loaded value if its lease is intact. One EVALSHA. */
  async commit(at: EntryKeys, entry: NewEntry, lease: OpenLease, budget: WaitBudget): Promise<Freshness> {
    const stored = await this.#ask(budget, 'cache.store', (call) =>
      storeEntry(this.connection.scripts, call, at, this.#withJitter(entry), lease),
    );
    if (stored === true) this.stats.count('stores');
    return freshness(stored);
  }

  /** Tells whether a lease is intact, for a value that isn't stored. One GET. */
  async freshness(at: EntryKeys, { token }: OpenLease, budget: WaitBudget): Promise<Freshness> {
    const held = await this.#ask(budget, 'cache.lease', (call) =>
      this.connection.call(call, (client) => client.get(at.lease)),
    );
    return freshness(held === undefined ? undefined : held === token);
  }

  /** Stores a value whatever is there. One EVALSHA. @throws RedisUnavailableError · RedisCommandError */
  async write(at: EntryKeys, entry: NewEntry, budget: WaitBudget): Promise<void> {
    const call = this.#call('cache.set', atLeastSent(budget));
    await this.#counted(storeEntry(this.connection.scripts, call, at, this.#withJitter(entry)));
    this.stats.count('stores');
  }

  /** Deletes a value, and with it the lease of the loads under way. One UNLINK. @throws RedisUnavailableError · RedisCommandError */
  async remove(at: EntryKeys, budget: WaitBudget): Promise<void> {
    const call = this.#call('cache.delete', atLeastSent(budget));
    await this.#counted(this.connection.call(call, (client) => client.unlink(at.value, at.lease)));
  }

  /** A value that can't be stored: counted, and told to the operator, since it is loaded over and over. */
  refused(at: EntryKeys, error: Error): void {
    this.stats.count('unsupported');
    this.#warnings.warn('unsupported', `The value of "${at.value}" is not cached: ${error.message}`);
  }

  async #entryOf(at: EntryKeys, bytes: Buffer, budget: WaitBudget): Promise<ReadOutcome> {
    try {
      const entry = await this.codec.read(bytes);
      return entry === undefined ? { kind: 'blind' } : { kind: 'hit', entry };
    } catch (error) {
      if (!(error instanceof CorruptValueError)) throw error;
      this.stats.count('corrupt');
      this.#warnings.warn('corrupt', `"${at.value}" is discarded: ${error.message}`);
      const discarded = await this.#ask(budget, 'cache.discard', (call) =>
        discardBytes(this.connection.scripts, call, at.value, bytes),
      );
      return discarded === undefined ? { kind: 'blind' } : { kind: 'miss' };
    }
  }

  async #renew(leases: readonly HeldLease[]): Promise<void> {
    const call = this.#call('cache.renew', this.options.budgetMs);
    const held = await renewLeases(this.connection.scripts, call, leases, this.options.leaseMs);
    leases.forEach(({ lost }, index) => {
      if (held[index] === false) lost();
    });
  }

  /** Sends within what is left of the budget. @returns `undefined` when Redis can't tell */
  async #ask<T>(budget: WaitBudget, operation: string, send: (call: RedisCall) => Promise<T>): Promise<T | undefined> {
    if (budget.leftMs === 0) return undefined;
    try {
      return await budget.spend((leftMs) => send(this.#call(operation, leftMs)));
    } catch (error) {
      this.#failed(error);
      return undefined;
    }
  }

  async #counted<T>(work: Promise<T>): Promise<T> {
    return work.catch((error: unknown) => {
      this.stats.count('errors');
      throw error;
    });
  }

  #failed(error: unknown): void {
    if (!(error instanceof RedstartError)) throw error;
    this.stats.count('errors');
    const kind = error instanceof RedisCommandError ? error.reason : error.code;
    this.#warnings.warn(kind, `Going on without the cache: ${error.message}`);
  }

  #withJitter({ payload, ttlMs }: NewEntry): NewEntry {
    return { payload, ttlMs: withJitter(ttlMs, this.options) };
  }

  #call(operation: string, budgetMs: number): RedisCall {
    return { library: 'redis-cache', operation, budgetMs };
  }
}

/** What a caller asks for by name goes out even when the wait for an earlier `set` has used its budget up: Redis may carry it out yet. */
function atLeastSent(budget: WaitBudget): number {
  return Math.max(1, budget.leftMs);
}

function freshness(intact: boolean | undefined): Freshness {
  return intact === undefined ? 'unknown' : intact ? 'fresh' : 'stale';
}
