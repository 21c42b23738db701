import { parseDirectives, secondsOf } from './directives.js';
import type { ResolvedHttpCache } from './http-cache.options.js';
import type { CachedRequest } from './request-key.js';

/** Why a request goes past the cache, whoever it is from: a token of `Cache-Status`. */
export function bypassReason(request: CachedRequest, options: ResolvedHttpCache): string | undefined {
  if (request.method !== 'GET' && request.method !== 'HEAD') return 'method';
  // A part of a response is none; a handler that knows nothing of ranges sends all of it, as it may.
  if (request.headers['range'] !== undefined) return 'range';
  if (options.heedsDirectives && directivesOf(request).has('no-store')) return 'no-store';
  return options.condition?.(request) === false ? 'condition' : undefined;
}

/** Whether the answer may be for this client's eyes only. Guards have run, so `user` is there if they set it. */
export function isPersonal({ headers, user }: CachedRequest): boolean {
  return (
    headers['authorization'] !== undefined || headers['cookie'] !== undefined || (user !== undefined && user !== null)
  );
}

/** How old the client will have a response at most; `undefined` when it does not say. @see RFC 9111, section 5.2.1 */
export function wantedAgeSeconds(request: CachedRequest): number | undefined {
  const directives = directivesOf(request);
  if (directives.has('no-cache')) return 0;
  if (request.headers['cache-control'] === undefined && textOf(request, 'pragma').includes('no-cache')) return 0;
  return secondsOf(directives, 'max-age');
}

function directivesOf(request: CachedRequest) {
  return parseDirectives(textOf(request, 'cache-control'));
}

function textOf({ headers }: CachedRequest, name: string): string {
  return String(headers[name] ?? '');
}
