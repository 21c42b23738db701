import { OptionsError } from '@redstart/redis-core';

/** A value that the store is to have. */
export interface WrittenBehind<Id, Value> {
  readonly id: Id;
  readonly value: Value;
  /**
   * Rises with each write of the cache, whoever makes it; less than 2^63. A store that keeps it beside the value and takes nothing that is lower (`where version < :version`) is safe from a writer that
   * stands still for longer than its lease, from dead letters that are replayed late, and from a write that failed and is tried again when the cache's Redis has forgotten that a newer one has been written:
   * after an hour, or when it has evicted that.
   */
  readonly version: bigint;
}

/** What a store is written by. */
export interface WriteBehindTarget<Id, Value> {
  /**
   * Writes values, each of another id, all or as many as it likes of them before it throws: a batch that has failed is tried again in parts, so that one value that the store refuses
   * keeps no other back. What it is given may have been written before. `UnrecoverableError` (of redis-streams) for a single value makes a dead letter of it at once.
   *
   * @param context.signal aborts when its `timeout` is over, or the application ends
   */
  writeMany(values: readonly WrittenBehind<Id, Value>[], context: { readonly signal: AbortSignal }): unknown;
}

/** @throws OptionsError */
export function checkTarget(target: unknown, where: string): void {
  if (typeof target === 'object' && target !== null && typeof Reflect.get(target, 'writeMany') === 'function') return;
  throw new OptionsError(
    where,
    'is bound to something without writeMany. Let its useFactory return { writeMany: (values) => repository.saveAll(values) }, or bind a class with such a method.',
  );
}
