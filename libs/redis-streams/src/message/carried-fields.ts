import type { EntryField } from './envelope.js';

/** Names and values that a script passes on at once; Lua's stack holds 8,000, ours in front of them included. */
const mostParts = 6_000;
const named = new Set(['t', 'd', 'i', 'k', 'h']);

/**
 * What a retry or a dead letter takes along of an entry's fields: all of them, but for a foreign entry of thousands. Of that the fields of an envelope and the first others, and in front
 * `x-cut`, how many fields were left out; they are in the stream under the entry's own id, for as long as it keeps that.
 */
export function carriedFields(fields: readonly Buffer[]): readonly EntryField[] {
  if (fields.length <= mostParts) return fields;
  const first: Buffer[] = [];
  const others: Buffer[] = [];
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const pair = fields.slice(at, at + 2);
    (named.has(pair[0]?.toString() ?? '') ? first : others).push(...pair);
  }
  const carried = [...first, ...others].slice(0, mostParts - 2);
  return ['x-cut', String((fields.length - carried.length) / 2), ...carried];
}
