import { cacheStatus, type CacheOutcome } from './cache-status.js';
import type { Exchange } from './exchange.js';
import type { HttpResponse } from './http-response.js';
import { namesIn, type StoredResponse } from './stored-response.js';
import { isNotModified } from './validators.js';

/**
 * Writes status and headers of a stored response, or of one that has just been made; with a 304 where the client has it already.
 *
 * @returns the body for the framework to send
 */
export function send(
  { request, response, options, identity }: Exchange,
  stored: StoredResponse,
  outcome: CacheOutcome,
): unknown {
  for (const [name, value] of stored.headers) response.setHeader(name, value);
  if (stored.etag !== undefined) response.setHeader('ETag', stored.etag);
  const clients = options.cacheControl ?? (identity === undefined ? 'no-cache' : 'private, no-cache');
  if (clients !== false && response.header('cache-control') === undefined) {
    response.setHeader('Cache-Control', clients);
  }
  addVary(response, options.vary);
  if (outcome.kind === 'hit') response.setHeader('Age', String(ageOf(stored)));
  tell(response, outcome);
  const isKnown =
    stored.status === 200 && isNotModified(request.headers, stored.etag, response.header('last-modified'));
  response.status = isKnown ? 304 : stored.status;
  return isKnown ? undefined : stored.body;
}

/**
 * How old a response is, in whole seconds. By the clocks of the hosts, as HTTP reckons with `Date`: a clock that goes wrong makes a header wrong, and nothing else.
 *
 * @see RFC 9111, section 4.2.3
 */
export function ageOf({ at }: StoredResponse): number {
  return Math.max(0, Math.floor((Date.now() - at) / 1000));
}

/** Adds to what caches further out have to say. */
export function tell(response: HttpResponse, outcome: CacheOutcome): void {
  const before = response.header('cache-status');
  const own = cacheStatus(outcome);
  response.setHeader('Cache-Status', before === undefined ? own : `${before}, ${own}`);
}

function addVary(response: HttpResponse, names: readonly string[]): void {
  const present = response.header('vary');
  const known = namesIn(present);
  const added = known.includes('*') ? [] : names.filter((name) => !known.includes(name));
  if (added.length > 0) response.setHeader('Vary', [...(present === undefined ? [] : [present]), ...added].join(', '));
}
