import { CorruptValueError, RedstartError, type Warnings } from '@redstart/redis-core';
import type { BatchContext, BatchResult, DeadLetter, StreamMessage } from '@redstart/redis-streams';
import type { DefinedCache } from '../definition/defined-cache.js';
import { isAfter, parseEntryId, versionOf, type EntryId } from './entry-id.js';
import type { PendingState, PendingStore } from './pending-values.js';
import { writeInParts } from './write-in-parts.js';
import type { WriteBehindTarget, WrittenBehind } from './write-behind.target.js';

/** What the stream holds of a write. */
export interface StreamedWrite<Id, Value> {
  readonly id: Id;
  readonly value: Value;
}

type Message<Id, Value> = StreamMessage<StreamedWrite<Id, Value>>;

/** What is to be written for a key. */
interface Due<Id, Value> extends WrittenBehind<Id, Value> {
  /** The id of the newest entry of its value. */
  readonly entry: string;
  /** Whose failure it is. */
  readonly message: Message<Id, Value>;
}

/**
 * Brings what is pending to the store: the newest value of each key, whatever entry it was read for.
 *
 * Of a key, an entry is *due* unless a newer one is in the same batch, or it or a newer one has been written: then it is done with. What is written for it is the newest value that is
 * pending. When the store has it, it is cached, and that is noted (*settled*), so that later entries of the key that are older are done with as well.
 */
export class Flusher<Id, Value> {
  constructor(
    private readonly cache: DefinedCache<Id, Value>,
    private readonly pending: PendingStore<Id, Value>,
    private readonly target: WriteBehindTarget<Id, Value>,
    private readonly warnings: Warnings,
  ) {}

  /** @throws RedisUnavailableError · RedisCommandError when nobody can tell what is pending: nothing has been written then */
  async flush(messages: readonly Message<Id, Value>[], { signal }: Pick<BatchContext, 'signal'>): Promise<BatchResult> {
    const newest = this.#newestOfEachKey(messages);
    const states = await Promise.all(newest.map(({ payload }) => this.#stateOf(payload.id)));
    const due = newest.flatMap((message, index) => this.#due(message, states[index]));
    const failed = await writeInParts(due, async (some) => {
      await this.target.writeMany(
        some.map(({ id, value, version }) => ({ id, value, version })),
        { signal },
      );
    });
    const written = due.filter((each) => !failed.has(each));
    await Promise.all(
      written.map(async (each) => {
        await this.#settle(each).catch((error: unknown) => {
          failed.set(each, error);
        });
      }),
    );
    if (failed.size > 0) this.#warn(failed);
    return { failed: [...failed].map(([{ message }, error]) => ({ message, error })) };
  }

  /** What has become a dead letter is not to be read any more. */
  async bury({ entryId, reason, error, message }: DeadLetter): Promise<void> {
    const { name } = this.cache;
    this.warnings.warn(
      'dead-letter',
      `A write of the cache "${name}" is given up (${reason}, ${error.name}): the entry ${entryId} is among the dead letters of its stream.`,
    );
    if (!isWrite<Id, Value>(message?.payload)) return;
    const { id } = message.payload;
    await this.pending.drop(id, entryId);
    await this.cache.delete(id);
  }

  #newestOfEachKey(messages: readonly Message<Id, Value>[]): Message<Id, Value>[] {
    const newest = new Map<string, Message<Id, Value>>();
    for (const message of messages) {
      const key = this.pending.keyOf(message.payload.id);
      const other = newest.get(key);
      if (other === undefined || isAfter(entryOf(message), entryOf(other))) newest.set(key, message);
    }
    return [...newest.values()];
  }

  /** A value that nobody can read keeps no other back: the entries hold what is to be written, too. */
  async #stateOf(id: Id): Promise<PendingState<Value> | undefined> {
    try {
      return await this.pending.state(id);
    } catch (error) {
      if (error instanceof CorruptValueError) return undefined;
      throw error;
    }
  }

  #due(message: Message<Id, Value>, state: PendingState<Value> | undefined): Due<Id, Value>[] {
    const { id, value } = message.payload;
    const own = entryOf(message);
    const due = (entry: string, at: EntryId, newest: Value) => [
      { id, value: newest, version: versionOf(at), entry, message },
    ];
    if (state === undefined || isAfter(own, state.id)) return due(message.ctx.id, own, value);
    return state.pending === undefined ? [] : due(state.entry, state.id, state.pending.value);
  }

  async #settle({ id, entry, message }: Due<Id, Value>): Promise<void> {
    // While it is still pending, so that it is cached from there, unless somebody has read it already.
    await this.cache.getOrSet(id).catch(() => undefined); // or whoever asks next caches it
    // Where it was not pending nobody has deleted what was cached before.
    if ((await this.pending.settle(id, entry, entry !== message.ctx.id)) === 'never') await this.cache.delete(id);
  }

  #warn(failed: ReadonlyMap<unknown, unknown>): void {
    const [error] = failed.values();
    const what = error instanceof RedstartError ? error.message : error instanceof Error ? error.name : 'no error';
    this.warnings.warn(
      'failed',
      `${failed.size} writes of the cache "${this.cache.name}" have failed, and are tried again: ${what}`,
    );
  }
}

/** Always one: the stream gives them. */
function entryOf({ ctx }: StreamMessage): EntryId {
  return parseEntryId(ctx.id) ?? { ms: 0, n: 0 };
}

/** Only `write` publishes there. */
function isWrite<Id, Value>(payload: unknown): payload is StreamedWrite<Id, Value> {
  return typeof payload === 'object' && payload !== null && 'id' in payload;
}
