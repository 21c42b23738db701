import type { RedisConnection, Script, ScriptArgument } from '@redstart/redis-core';
import type { EntryKeys } from '../keys.js';
import { callOf, type Answer } from './commands.js';

/** What one call wants of a script that can serve several. */
export interface BatchItem {
  readonly at: EntryKeys;
  /** The arguments that the calls of one batch have in common. */
  readonly shared: readonly ScriptArgument[];
  readonly args: readonly ScriptArgument[];
  /** How long it may wait, in milliseconds. */
  readonly leftMs: number;
}

interface PendingItem<Reply> {
  readonly item: BatchItem;
  readonly answer: Answer<Reply>;
}

/** A script holds Redis up until its end. */
const largestBatch = 32;
/** So does what it has to be sent. */
const largestBytes = 128 * 1024;
/** A call that has used up more of its budget than this goes alone, so that the others need not hurry. */
const leastShare = 0.75;

/**
 * Runs a script once for the calls of one tick, whose keys are their own: which of them goes first is of no matter.
 *
 * A call waits in line until the end of its tick (after all microtasks, before any I/O). On a Cluster, where the keys of a script share a slot, each goes alone, all of
 * them in one system call for each node. What the script can't do for one of several is asked for that one alone.
 */
export class ScriptBatch<Reply> {
  #pending: PendingItem<Reply>[] = [];

  constructor(
    private readonly connection: RedisConnection,
    private readonly operation: string,
    private readonly script: Script<readonly (Reply | undefined)[]>,
    private readonly budgetMs: number,
  ) {}

  send(item: BatchItem, answer: Answer<Reply>): void {
    const pending = { item, answer };
    if (this.connection.cluster || item.leftMs < leastShare * this.budgetMs) {
      this.#send([pending]);
      return;
    }
    if (this.#pending.length === 0) process.nextTick(this.#flush);
    this.#pending.push(pending);
  }

  readonly #flush = (): void => {
    const all = this.#pending;
    this.#pending = [];
    let batch: PendingItem<Reply>[] = [];
    let bytes = 0;
    for (const pending of all) {
      const more = sizeOf(pending.item);
      if (batch.length === largestBatch || (batch.length > 0 && bytes + more > largestBytes)) {
        this.#send(batch);
        batch = [];
        bytes = 0;
      }
      batch.push(pending);
      bytes += more;
    }
    this.#send(batch);
  };

  #send(batch: readonly PendingItem<Reply>[]): void {
    const keys: string[] = [];
    const args: ScriptArgument[] = [...(batch[0]?.item.shared ?? [])];
    let leftMs = this.budgetMs;
    for (const { item } of batch) {
      keys.push(item.at.value, item.at.lease);
      for (const arg of item.args) args.push(arg);
      if (item.leftMs < leftMs) leftMs = item.leftMs;
    }
    this.connection.scripts.run(callOf(this.operation, leftMs), this.script, keys, args).then(
      (replies) => {
        this.#answer(batch, replies);
      },
      (error: unknown) => {
        for (const { answer } of batch) answer.reject(error);
      },
    );
  }

  #answer(batch: readonly PendingItem<Reply>[], replies: readonly (Reply | undefined)[]): void {
    for (let i = 0; i < batch.length; i++) {
      const pending = batch[i];
      const reply = replies[i];
      if (reply !== undefined) pending?.answer.resolve(reply);
      else if (pending !== undefined && batch.length > 1) this.#send([pending]);
      else pending?.answer.reject(new TypeError(`${this.script.name}: unexpected reply`));
    }
  }
}

function sizeOf({ args }: BatchItem): number {
  let bytes = 0;
  for (const arg of args) if (Buffer.isBuffer(arg)) bytes += arg.length;
  return bytes;
}
