/**
 * What the cache has done with a request.
 *
 * - `hit`: answered from the cache; `stale` because the handler has failed, or takes too long
 * - `miss`: the handler was asked; with the reason where its answer is not stored
 * - `request`: the handler was asked because the client wanted it so
 * - `bypass`: the request went past the cache, for that reason
 */
export type CacheOutcome =
  | { readonly kind: 'hit'; readonly stale?: boolean }
  | { readonly kind: 'miss' | 'request'; readonly notStored?: string | undefined }
  | { readonly kind: 'bypass'; readonly reason: string };

const name = 'redstart';
const forwards = { miss: 'fwd=uri-miss', request: 'fwd=request', bypass: 'fwd=bypass' } as const;

/** A member of the `Cache-Status` list: only tokens, so nothing has to be quoted. @see RFC 9211 */
export function cacheStatus(outcome: CacheOutcome): string {
  if (outcome.kind === 'hit') return outcome.stale === true ? `${name}; hit; detail=stale-if-error` : `${name}; hit`;
  const detail = outcome.kind === 'bypass' ? outcome.reason : outcome.notStored;
  const forward = `${name}; ${forwards[outcome.kind]}`;
  return detail === undefined ? forward : `${forward}; detail=${detail}`;
}
