import type { CorruptValueError } from '@redstart/redis-core';
import type { StatsCounter } from '../cache.stats.js';
import type { EntryKeys } from '../keys.js';
import { discardBytes } from '../scripts/discard.script.js';
import { markStaleScript, touchScript } from '../scripts/stale.script.js';
import { storedBytes, storeScript, type NewEntry } from '../scripts/store.script.js';
import { tellArguments, type WakeChannel, type WakeChannels } from '../scripts/wake.js';
import { staleId, type Amends } from './amends.js';
import type { WaitBudget } from './budget.js';
import { atLeastSent, namedCall, type Commands } from './commands.js';
import type { NearChanges } from './near-changes.js';
import { ScriptBatch } from './script-batch.js';

/** What a caller does to a value by name: stores, deletes, marks or prolongs it. */
export class Values {
  readonly #writes: ScriptBatch<boolean>;

  constructor(
    private readonly commands: Commands,
    private readonly amends: Amends,
    private readonly stats: StatsCounter,
    private readonly wakes: WakeChannels,
    private readonly near: NearChanges,
    budgetMs: number,
  ) {
    this.#writes = new ScriptBatch(commands.connection, 'cache.set', storeScript, budgetMs);
  }

  /** Stores a value whatever is there. A part of one EVALSHA. @throws RedisUnavailableError · RedisCommandError */
  async write(at: EntryKeys, entry: NewEntry, budget: WaitBudget): Promise<void> {
    const { value } = at;
    const shared = tellArguments(this.wakes.known(at) ?? (await this.#wakeChannel(at, budget)));
    const args = ['', storedBytes(entry)];
    const written = new Promise<boolean>((resolve, reject) => {
      this.#writes.send({ at, shared, args, leftMs: atLeastSent(budget) }, { resolve, reject });
    });
    await this.near.changing([value], this.commands.counted(written));
    this.amends.outdated(value);
    this.amends.outdated(staleId(value));
    this.stats.count('stores');
  }

  /**
   * Deletes a value, and with it the lease of the loads under way. Made good later when it fails. One UNLINK; on a Cluster one of each, in one system call: while a slot is on its
   * way, a command that names two keys is refused. The lease goes first, so that nothing is stored in between that was loaded before.
   * @throws RedisUnavailableError · RedisCommandError
   */
  async remove({ value, lease }: EntryKeys, budget: WaitBudget): Promise<void> {
    const { connection } = this.commands;
    const send = (left: WaitBudget) => {
      const unlinking = connection.cluster ? [[lease], [value]] : [[value, lease]];
      const removed = connection.call(namedCall('cache.delete', left), (client) =>
        Promise.all(unlinking.map((keys) => client.unlink(...keys))),
      );
      return this.near.changing([value], this.commands.counted(removed));
    };
    await this.amends.attempt(value, send, budget);
  }

  /** Values have been deleted that nobody has counted. */
  async removedMany(): Promise<void> {
    await this.near.changedMany();
  }

  /** Made good later when it fails. One EVALSHA. @returns whether there is an entry @throws RedisUnavailableError · RedisCommandError */
  async markStale(at: EntryKeys, budget: WaitBudget): Promise<boolean> {
    const { value, lease } = at;
    const send = async (left: WaitBudget) => {
      const args = tellArguments(await this.#wakeChannel(at, left));
      const marked = this.commands.command(left, 'cache.mark-stale', markStaleScript, [value, lease], args);
      return this.near.changing([value], marked);
    };
    return this.amends.attempt(staleId(value), send, budget);
  }

  /** One EVALSHA. @returns whether there is a fresh entry @throws RedisUnavailableError · RedisCommandError */
  touch({ value, lease }: EntryKeys, ttlMs: number, budget: WaitBudget): Promise<boolean> {
    const touched = this.commands.command(budget, 'cache.touch', touchScript, [value, lease], [ttlMs]);
    return this.near.changing([value], touched);
  }

  /** Moves a sliding ttl on; a failure costs a miss. One EVALSHA. */
  async slide(at: EntryKeys, budget: WaitBudget): Promise<void> {
    await this.commands.askScript(budget, 'cache.touch', touchScript, at, ['']);
  }

  /** Deletes bytes that can't be read. One EVALSHA. @returns whether Redis has answered */
  async discard(
    { value, shown }: EntryKeys,
    bytes: Buffer,
    error: CorruptValueError,
    budget: WaitBudget,
  ): Promise<boolean> {
    const { commands } = this;
    this.stats.count('corrupt');
    commands.warn('corrupt', `"${shown}" is discarded: ${error.message}`);
    const discarded = await commands.ask(budget, 'cache.discard', (call) =>
      discardBytes(commands.connection.scripts, call, value, bytes),
    );
    return discarded !== undefined;
  }

  /** For how many milliseconds more Redis keeps a value; `undefined` when there is none, or it can't tell. One PTTL. */
  async remaining({ value }: EntryKeys, budget: WaitBudget): Promise<number | undefined> {
    const { commands } = this;
    const ms = await commands.ask(budget, 'cache.ttl', (call) =>
      commands.connection.call(call, (client) => client.pttl(value)),
    );
    return ms === undefined || ms < 0 ? undefined : ms;
  }

  /** A value that can't be stored: counted, and told to the operator, since it is loaded over and over. */
  refused({ shown }: EntryKeys, error: Error): void {
    this.stats.count('unsupported');
    this.commands.warn('unsupported', `The value of "${shown}" is not cached: ${error.message}`);
  }

  /** A value that its schema refuses. */
  mismatched(): void {
    this.stats.count('mismatches');
  }

  #wakeChannel(at: EntryKeys, budget: WaitBudget): Promise<WakeChannel> {
    return this.commands.counted(budget.spend((leftMs) => this.wakes.channel(at, leftMs)));
  }
}
