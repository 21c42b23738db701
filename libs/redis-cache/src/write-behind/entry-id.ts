/** The id of an entry of a stream: its order. */
export interface EntryId {
  readonly ms: number;
  readonly n: number;
}

/** @returns `undefined` for what is not `<ms>-<n>` */
export function parseEntryId(text: string): EntryId | undefined {
  const [, ms, n] = /^(\d+)-(\d+)$/.exec(text) ?? [];
  return ms === undefined || n === undefined ? undefined : { ms: Number(ms), n: Number(n) };
}

export function isAfter(one: EntryId, other: EntryId): boolean {
  return one.ms > other.ms || (one.ms === other.ms && one.n > other.n);
}

/** A number that rises with each write of a cache, less than 2^63. */
export function versionOf({ ms, n }: EntryId): bigint {
  return (BigInt(ms) << 20n) | BigInt(Math.min(n, 2 ** 20 - 1));
}
