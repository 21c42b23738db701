import { parseDirectives, secondsOf } from './directives.js';
import type { ResolvedHttpCache } from './http-cache.options.js';
import { bodyOf, type HttpResponse } from './http-response.js';
import { entityTag } from './validators.js';

/** A header as it is sent. */
export type StoredHeader = readonly [name: string, value: string];

/** What is kept of a response. */
export interface StoredResponse {
  /** The shape of this record. */
  readonly format: 1;
  readonly status: number;
  /** What the handler and its interceptors have set, in lower case, without what belongs to one exchange alone. */
  readonly headers: readonly StoredHeader[];
  readonly body: string | Buffer | undefined;
  readonly etag: string | undefined;
  /** When it was made: milliseconds since the epoch, as its `Date` says in seconds. */
  readonly at: number;
}

/** Why a response is not stored: a token of `Cache-Status`. */
export type Unstorable =
  | 'stream'
  | 'status'
  | 'set-cookie'
  | 'vary'
  | 'no-store'
  | 'private'
  | 'no-cache'
  | 'max-age-0'
  | 'sent'
  | 'body'
  | 'unless';

/** What there is to be stored, and for how many seconds the handler says at most. */
export interface Storable {
  readonly response: StoredResponse;
  readonly maxAgeSeconds: number | undefined;
}

/** Statuses that need no word of the handler to be cached (RFC 9110, section 15.1), without errors, and without those that need a `Range`. */
const cacheable = new Set([200, 203, 204, 300, 301, 308]);

/** What is about one connection or exchange, or is written anew with each answer. @see RFC 9111, section 3.1 */
const notKept = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'set-cookie',
  'set-cookie2',
  'content-length',
  'date',
  'age',
  'vary',
  'etag',
  'cache-status',
]);

/** What the response had before the handler ran: it belongs to this exchange, such as headers of CORS or of a limit. */
export type HeadersBefore = ReadonlyMap<string, string>;

export function headersNow(response: HttpResponse): HeadersBefore {
  return new Map(response.headers());
}

/** What a handler has returned, and left in the response, as it is to be stored; or why it is not. */
export function toStore(
  value: unknown,
  response: HttpResponse,
  before: HeadersBefore,
  options: ResolvedHttpCache,
  isPersonal: boolean,
): Storable | Unstorable {
  // Somebody has answered already, or a stale response was sent meanwhile: nothing that is read there is this one's.
  if (response.isSent) return 'sent';
  const body = bodyOf(value, response);
  if (body === 'stream' || body === 'body') return body;
  const { status } = response;
  if (!cacheable.has(status)) return 'status';
  const headers = response.headers();
  const set = headers.filter(([name, text]) => before.get(name) !== text);
  // One of middleware may name a session that the body is of.
  if (headers.some(([name]) => name === 'set-cookie')) return 'set-cookie';
  if (!variesAsListed(response.header('vary'), before.get('vary'), options.vary)) return 'vary';
  const directives = parseDirectives(response.header('cache-control'));
  if (directives.has('no-store')) return 'no-store';
  if (directives.has('no-cache')) return 'no-cache';
  if (directives.has('private') && !isPersonal) return 'private';
  const maxAgeSeconds =
    secondsOf(directives, 's-maxage') ?? secondsOf(directives, 'max-age') ?? secondsToExpiry(response);
  if (maxAgeSeconds === 0) return 'max-age-0';
  const contentType = response.header('content-type') ?? body.contentType ?? '';
  const kept = set.filter(([name]) => !notKept.has(name) && !name.startsWith('access-control-'));
  if (response.header('content-type') === undefined && body.contentType !== undefined) {
    kept.push(['content-type', body.contentType]);
  }
  const own = response.header('etag');
  const named =
    options.etag === false || body.content === undefined
      ? undefined
      : entityTag(body.content, contentType, options.etag);
  return {
    response: { format: 1, status, headers: kept, body: body.content, etag: own ?? named, at: Date.now() },
    maxAgeSeconds,
  };
}

/** What is no date, `0` above all, is over. @see RFC 9111, section 5.3 */
function secondsToExpiry(response: HttpResponse): number | undefined {
  const expires = response.header('expires');
  if (expires === undefined) return undefined;
  const at = Date.parse(expires);
  return Number.isNaN(at) || /^-?\d+$/.test(expires) ? 0 : Math.max(0, Math.floor((at - Date.now()) / 1000));
}

/**
 * Whether a response is not to be sent when it is stale, not even for want of another.
 *
 * @param declared the `Cache-Control` that `@Header` says of all responses of the route: it is not stored with them
 * @see RFC 9111, sections 5.2.2.2, 5.2.2.8 and 5.2.2.10
 */
export function forbidsStale({ headers }: StoredResponse, declared: string | undefined): boolean {
  const directives = parseDirectives(headers.find(([name]) => name === 'cache-control')?.[1] ?? declared);
  return ['must-revalidate', 'proxy-revalidate', 's-maxage'].some((name) => directives.has(name));
}

/** What middleware lets a response vary by that is not stored: headers of CORS are not kept, and compression comes after this cache. */
const ofTheExchange = ['origin', 'accept-encoding'];

/** What else stood there before the handler ran may be of the handler all the same: `@Header` is written by then, or a language that middleware has chosen for it. */
function variesAsListed(now: string | undefined, before: string | undefined, listed: readonly string[]): boolean {
  const known = new Set([...namesIn(before).filter((name) => ofTheExchange.includes(name)), ...listed]);
  return namesIn(now).every((name) => name !== '*' && known.has(name));
}

/** Names of headers in a list, in lower case. */
export function namesIn(list: string | undefined): string[] {
  return (list ?? '')
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '');
}

/** Whether this is what this version stores: another one may have written it. */
export function isStoredResponse(value: unknown): value is StoredResponse {
  return typeof value === 'object' && value !== null && 'format' in value && value.format === 1;
}
