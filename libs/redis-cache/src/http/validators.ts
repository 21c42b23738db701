import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

/** A name for a representation: a hash of what it is and holds. */
export function entityTag(body: string | Uint8Array, contentType: string, kind: 'weak' | 'strong'): string {
  const hash = createHash('sha256').update(contentType).update('\0').update(body).digest('base64url').slice(0, 27);
  return kind === 'weak' ? `W/"${hash}"` : `"${hash}"`;
}

/**
 * Whether the client has the representation already: by `If-None-Match`, compared weakly, or where that is not there by `If-Modified-Since`.
 *
 * @see RFC 9110, sections 8.8.3.2, 13.1.2, 13.1.3 and 13.2.2
 */
export function isNotModified(
  request: IncomingHttpHeaders,
  etag: string | undefined,
  lastModified: string | undefined,
): boolean {
  const known = request['if-none-match'];
  if (known !== undefined) {
    if (known.trim() === '*') return true;
    return etag !== undefined && tagsIn(known).includes(opaque(etag));
  }
  const since = timeOf(request['if-modified-since']);
  const modified = timeOf(lastModified);
  return since !== undefined && modified !== undefined && modified <= since;
}

/** A text between quotes may hold a comma. */
function tagsIn(header: string): string[] {
  return [...header.matchAll(/(?:W\/)?("[^"]*")/g)].map(([, tag = '']) => tag);
}

function opaque(etag: string): string {
  return etag.replace(/^W\//, '');
}

/** An HTTP date; anything else is as if it were not there. */
function timeOf(date: string | undefined): number | undefined {
  if (date === undefined || !/^[A-Z][a-z]{2,8},? .*\d{2}:\d{2}:\d{2}/.test(date)) return undefined;
  const time = Date.parse(date);
  return Number.isNaN(time) ? undefined : time;
}
