import type { RedisCall, RedisConnection } from '@redstart/redis-core';
import type { Beginning } from '../keys.js';
import { scanKeys } from './key-scan.js';

/** How far a deletion by prefix has come. */
export interface DeleteProgress {
  /** Keys that Redis has looked at belong to all applications; these are the ones that were deleted. */
  readonly deleted: number;
  /** Masters that have been searched, of `masters`. */
  readonly done: number;
  readonly masters: number;
}

/** Options of `deleteByPrefix`. */
export interface DeleteByPrefixOptions {
  /** Hears after each step how far it is. */
  onProgress?: (progress: DeleteProgress) => void;
  signal?: AbortSignal;
}

/** SCAN takes longer than other commands, and nobody waits for the answer of a request. */
const stepBudgetMs = 5_000;

/**
 * Deletes the values whose key begins so, and before them the leases of the loads under way: SCAN on every master, for these and for those, and an UNLINK for each key found.
 *
 * The leases first: SCAN need not find a key that comes while it searches. A load that began before has no lease any more when the values are searched, or has stored its
 * value by then.
 *
 * @param beginnings as Redis has them, without a pattern; companions of a value begin like it
 * @returns how many values were deleted
 */
export async function deleteByPrefix(
  connection: RedisConnection,
  beginnings: { readonly values: Beginning; readonly leases: Beginning },
  onProgress: (progress: DeleteProgress) => void,
  signal?: AbortSignal,
): Promise<number> {
  const call: RedisCall = { library: 'redis-cache', operation: 'cache.delete-by-prefix', budgetMs: stepBudgetMs };
  const { values, leases } = beginnings;
  const unlink = async (keys: readonly string[]) => {
    if (keys.length === 0) return 0;
    const gone = await connection.call(call, (client) => Promise.all(keys.map((key) => client.unlink(key))));
    return gone.reduce((sum, count) => sum + count, 0);
  };
  for await (const { keys, masters } of scanKeys(connection, call, leases.text, signal)) {
    await unlink(keys.filter((key) => leases.has(key)));
    onProgress({ deleted: 0, done: 0, masters });
  }
  let deleted = 0;
  for await (const { keys, done, masters } of scanKeys(connection, call, values.text, signal)) {
    deleted += await unlink(keys.filter((key) => key.endsWith('}') && values.has(key)));
    onProgress({ deleted, done, masters });
  }
  return deleted;
}

/**
 * The values of a cache or namespace, without those of the namespaces in it, by the text of their keys: in steps, each key once. One whose key was too long to be written out is not
 * among them, nor can it be said which of them may still be read.
 *
 * @param beginning what their Redis keys begin with
 * @param textOf the text of the key of a value, if it has one
 * @throws RedisUnavailableError
 */
export async function* storedKeys(
  connection: RedisConnection,
  beginning: string,
  textOf: (redisKey: string) => string | undefined,
): AsyncGenerator<string[], void> {
  const call: RedisCall = { library: 'redis-cache', operation: 'cache.scan', budgetMs: stepBudgetMs };
  const seen = new Set<string>();
  for await (const { keys } of scanKeys(connection, call, beginning)) {
    const texts = keys.map(textOf).filter((text) => text !== undefined);
    const fresh = texts.filter((text) => !seen.has(text));
    for (const text of fresh) seen.add(text);
    if (fresh.length > 0) yield [...new Set(fresh)];
  }
}
