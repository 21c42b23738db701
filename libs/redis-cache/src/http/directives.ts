/** The directives of a `Cache-Control` header: names in lower case, arguments without their quotes. */
export type Directives = ReadonlyMap<string, string | undefined>;

/** `name`, `name=token`, `name="text"`. */
const directive = /([!#$%&'*+.^_`|~\w-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,;"]*)))?/g;

/** Reads what stands there and leaves out what does not make sense. @see RFC 9111, section 5.2 */
export function parseDirectives(header: string | undefined): Directives {
  const directives = new Map<string, string | undefined>();
  for (const [, name = '', quoted, token] of (header ?? '').matchAll(directive)) {
    const key = name.toLowerCase();
    // Of two the first counts; a cache that can't tell is to take the shorter one, and nobody writes two.
    if (!directives.has(key)) directives.set(key, quoted?.replaceAll(/\\(.)/g, '$1') ?? token);
  }
  return directives;
}

/** Seconds that a directive names. What is no number counts as 0: stale, rather than fresh for ever. */
export function secondsOf(directives: Directives, name: string): number | undefined {
  if (!directives.has(name)) return undefined;
  const text = directives.get(name) ?? '';
  return /^\d+$/.test(text) ? Math.min(Number(text), 2 ** 31) : 0;
}
