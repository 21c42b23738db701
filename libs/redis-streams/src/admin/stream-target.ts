import { checkInteger, checkText, type KeySpace } from '@redstart/redis-core';
import type { StreamDefinition } from '../definition/define-stream.js';
import { partitionKeys, type StreamKeys } from '../keys.js';

/** Which stream an operation is about: a definition, or the name of a registered one; where no definition is at hand, its name and number of partitions. */
export type StreamTarget = string | { readonly name: string; readonly partitions?: number | undefined };

/** One of the Redis streams that a stream consists of: the only one, or a partition. */
export interface StreamPart {
  /** What ids of this part begin with where several parts are told of together: empty, or `3/`. */
  readonly prefix: string;
  readonly keys: StreamKeys;
}

const mostPartitions = 10_000;

export function nameOf(target: StreamTarget): string {
  return checkText(typeof target === 'string' ? target : target.name, 'StreamAdmin(stream)');
}

/** The parts of a stream, in order. */
export function partsOf(space: KeySpace, target: StreamTarget, registered: readonly StreamDefinition[]): StreamPart[] {
  const name = nameOf(target);
  const { partitions } =
    typeof target === 'string' ? (registered.find((stream) => stream.name === name) ?? {}) : target;
  if (partitions !== undefined) checkInteger(partitions, 'StreamAdmin(stream.partitions)', 1, mostPartitions);
  const keys = partitionKeys(space, { name, partitions });
  return keys.map((part, index) => ({ prefix: partitions === undefined ? '' : `${index}/`, keys: part }));
}
