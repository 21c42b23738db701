/**
 * The version of a tag, or of a namespace: server times in microseconds.
 *
 * `hard` rises with every invalidation; an entry that was loaded under another one is never served again. `soft` rises when what hangs on it is marked
 * stale; such an entry may still be served where stale values are welcome. 0 means never.
 *
 * In Redis: `<hard>` or `<hard>:<soft>`, in decimal digits. A version that is not there matches none, so nothing rises from the dead when Redis has evicted it.
 */
export interface Version {
  readonly hard: number;
  readonly soft: number;
}

/** The same few versions are read over and over. */
let last: { readonly text: string; readonly version: Version } = { text: '', version: { hard: 0, soft: 0 } };

/** @returns `undefined` when there is none, or something else */
export function parseVersion(bytes: Buffer | null): Version | undefined {
  if (bytes === null) return undefined;
  const text = bytes.toString('latin1');
  if (text === last.text) return last.version;
  const [, hard, soft = '0'] = /^(\d{1,16})(?::(\d{1,16}))?$/.exec(text) ?? [];
  if (hard === undefined) return undefined;
  last = { text, version: { hard: Number(hard), soft: Number(soft) } };
  return last.version;
}

export function sameVersion(one: Version | undefined, other: Version | undefined): boolean {
  return one !== undefined && other !== undefined && one.hard === other.hard && one.soft === other.soft;
}

/**
 * When a version was last raised, by the clock of its node; `undefined` when nobody has raised it since it was made: then there was none before.
 */
export function raisedAt({ hard, soft }: Version): number | undefined {
  return soft === hard ? undefined : Math.max(hard, soft);
}
