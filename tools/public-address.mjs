/**
 * A server's address for a message: where it is, and never who we are there.
 *
 * @returns {string} `redis://example.org:6379/0`, or just the protocol when it can't be told for certain which part is the password:
 *   one that holds a `/` or a `#` and isn't percent-encoded is read as host and path
 */
export function publicAddress(text) {
  const hidden = `${/^(rediss?|postgres(ql)?):/.exec(text)?.[0] ?? ''}…`;
  if (!URL.canParse(text)) return hidden;
  const { protocol, host, pathname, search, hash } = new URL(text);
  if (host === '' || /@/.test(pathname + search + hash)) return hidden;
  return `${protocol}//${host}${pathname}`;
}
