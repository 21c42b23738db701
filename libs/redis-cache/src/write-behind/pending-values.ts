import {
  createCodec,
  RedisCommandError,
  type Key,
  type RedisCall,
  type RedisConnection,
  type Script,
  type ScriptArgument,
} from '@redstart/redis-core';
import type { CacheDefinition } from '../definition/define-cache.js';
import type { PendingValues } from '../definition/defined-cache.js';
import { CacheKeys, type EntryKeys } from '../keys.js';
import { dropPendingScript, putPendingScript, settlePendingScript, type Settlement } from './pending.script.js';
import { parseEntryId, type EntryId } from './entry-id.js';

/** What is known of a key. */
export interface PendingState<Value> {
  /** Of the newest write. */
  readonly entry: string;
  readonly id: EntryId;
  /** `undefined`: the store has it. */
  readonly pending: { readonly value: Value } | undefined;
}

/** As long as an outage of the store may last; then its value is found in the store at the earliest, and until then not at all. */
const pendingMs = 7 * 24 * 3_600_000;
/** For how long it is known what has been written last: longer than an older write may come late. */
const settledMs = 3_600_000;
/** After so long a write comes too late to be remembered. */
export const latestPutMs = settledMs / 4;
const largestValue = 512 * 1024 * 1024;
const lineFeed = 0x0a;

/** The values of one defined cache that the store does not have yet, beside the cached ones in Redis, in their slots. */
export class PendingStore<Id, Value> implements PendingValues<Id, Value> {
  readonly #codec = createCodec({ maxBytes: largestValue });
  constructor(
    private readonly connection: RedisConnection,
    private readonly definition: CacheDefinition<Id, Value>,
    private readonly keys: CacheKeys,
    private readonly budgetMs: number,
  ) {}

  /** What tells two ids apart. @throws InvalidKeyError */
  keyOf(id: Id): string {
    return this.#at(id).value;
  }

  /** The value as it is now. @throws UnsupportedValueError */
  encode(value: Value): Buffer {
    return this.#codec.encode(value);
  }

  /** What was encoded here: a copy. */
  decode(encoded: Buffer): Value {
    // The type is the definition's word, as of everything that is cached.
    return this.#codec.decode(encoded) as Value;
  }

  /**
   * One EVALSHA.
   * @param lost the entry of an earlier life of the stream, which is not newer
   * @returns the entry that is newer, or itself where it has been put or written: nothing was changed
   * @throws RedisUnavailableError · RedisCommandError
   */
  put(id: Id, entry: string, encoded: Buffer, lost = ''): Promise<string | undefined> {
    const { value, lease, pending } = this.#at(id);
    return this.#run('put-pending', putPendingScript, [value, lease, pending], [entry, encoded, pendingMs, lost]);
  }

  async find(ids: readonly Id[]): Promise<({ readonly value: Value } | undefined)[]> {
    const states = await Promise.all(ids.map((id) => this.state(id)));
    return states.map((state) => state?.pending);
  }

  /** One EVALSHA. @param known whether the entry was known here, and not only read from the stream @throws RedisUnavailableError · RedisCommandError */
  settle(id: Id, entry: string, known: boolean): Promise<Settlement> {
    const args = [entry, settledMs, known ? 1 : 0];
    const settled = this.#run('settle-pending', settlePendingScript, [this.#at(id).pending], args);
    return unlessForeign(settled, 'never');
  }

  /** One EVALSHA. @throws RedisUnavailableError · RedisCommandError */
  drop(id: Id, entry: string): Promise<boolean> {
    const { value, lease, pending } = this.#at(id);
    return unlessForeign(this.#run('drop-pending', dropPendingScript, [value, lease, pending], [entry]), false);
  }

  /** One GET; those of one tick leave in one system call. @throws RedisUnavailableError · RedisCommandError · CorruptValueError */
  async state(id: Id): Promise<PendingState<Value> | undefined> {
    const { pending: key } = this.#at(id);
    const asked = this.connection.call(this.#call('get-pending'), (client) => client.getBuffer(key));
    const bytes = await unlessForeign(asked, null);
    if (bytes === null) return undefined;
    const end = bytes.indexOf(lineFeed);
    const entry = bytes.subarray(0, end === -1 ? bytes.length : end).toString('latin1');
    const parsed = parseEntryId(entry);
    if (parsed === undefined) return undefined; // Foreign: what is written next takes its place.
    const pending = end === -1 ? undefined : { value: this.decode(bytes.subarray(end + 1)) };
    return { entry, id: parsed, pending };
  }

  #at(id: Id): EntryKeys {
    const key: Key = this.definition.key(id);
    return this.keys.entry(key);
  }

  #run<T>(operation: string, script: Script<T>, keys: readonly string[], args: readonly ScriptArgument[]): Promise<T> {
    return this.connection.scripts.run(this.#call(operation), script, keys, args);
  }

  #call(operation: string): RedisCall {
    return { library: 'redis-cache', operation: `cache.${operation}`, budgetMs: this.budgetMs };
  }
}

/** What holds another type is somebody else's: it is left alone, and nothing is known of the key. */
async function unlessForeign<T, Otherwise>(reply: Promise<T>, otherwise: Otherwise): Promise<T | Otherwise> {
  try {
    return await reply;
  } catch (error) {
    if (error instanceof RedisCommandError && error.reason === 'WRONGTYPE') return otherwise;
    throw error;
  }
}
