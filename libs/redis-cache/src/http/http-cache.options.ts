import type { IncomingHttpHeaders } from 'node:http';
import {
  checkFunction,
  checkKnownKeys,
  checkOneOf,
  durationMs,
  OptionsError,
  type Duration,
  type Key,
} from '@redstart/redis-core';
import { checkLoadOptions } from '../decorators/check-load-options.js';
import { checkKey } from '../decorators/method-key.js';
import { mostTags } from '../flight/landings.js';

/** What Express and Fastify have in common of a request. */
export interface HttpCacheRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly params: unknown;
  readonly query: unknown;
}

/** Options of {@link HttpCache}. `Q` is the request as its functions name it, `B` what the handler resolves with. */
export interface HttpCacheOptions<Q = HttpCacheRequest, B = unknown> {
  /** How long a response lives in the cache; a `max-age` or `s-maxage` that the handler sets shortens it. @default that, or the module's `ttl` */
  ttl?: Duration;
  /** For how long after its ttl a response is still served when the handler fails, or takes too long; not one that says `must-revalidate`, `proxy-revalidate` or `s-maxage`. @default the module's */
  staleIfError?: Duration;
  /** What a response hangs on: see {@link CacheService.invalidateTags}. */
  tags?: readonly Key[] | ((request: Q) => readonly Key[]);
  /** Further tags, which only what the handler returns tells. They cost a round trip more with each read. */
  resultTags?: (body: B, request: Q) => readonly Key[];
  /**
   * Whose response it is: `(request) => request.user.id`. Who has the same may see the same; `undefined` stands for nobody in particular.
   *
   * @default nobody in particular: a request with `Authorization`, `Cookie` or a `user` goes past the cache
   */
  varyBy?: (request: Q) => Key | undefined | Promise<Key | undefined>;
  /** Request headers that the handler reads, such as `['accept-language']`: their values tell responses apart, and `Vary` says so. */
  vary?: readonly string[];
  /** The parameters of the query that the handler reads, with `name[…]` and `name.…`: what it gets of them tells responses apart, and nothing else of the query. @default the whole query, as it is written */
  query?: readonly string[];
  /** Says of a request whether it goes through the cache. */
  condition?: (request: Q) => boolean;
  /** Says of what the handler returns that it is not to be stored. */
  unless?: (body: B, request: Q) => boolean;
  /** How the response is named for `If-None-Match`. `'strong'` only where nothing behind the application changes its bytes, as compression does. @default 'weak' */
  etag?: 'weak' | 'strong' | false;
  /**
   * `Cache-Control` of what the cache answers, where the handler says nothing; `false` for none. Clients that keep a response don't hear of its invalidation.
   *
   * @default 'no-cache', for one of somebody in particular 'private, no-cache': clients ask each time, and get a 304
   */
  cacheControl?: string | false;
  /** What `Cache-Control: no-store`, `no-cache` and `max-age` of a request do. RFC 9111 leaves it to the cache; heeded, any client can make the handler run, and end what is cached. @default 'ignore' */
  requestDirectives?: 'ignore' | 'heed';
  /** Which cache. @default 'default' */
  cache?: string;
}

/** Complete and checked. */
export interface ResolvedHttpCache {
  readonly load: { readonly ttl?: Duration; readonly staleIfError?: Duration };
  readonly ttlMs: number | undefined;
  readonly tags: readonly Key[] | ((request: object) => readonly Key[]) | undefined;
  readonly resultTags: ((body: unknown, request: object) => readonly Key[]) | undefined;
  readonly varyBy: ((request: object) => Key | undefined | Promise<Key | undefined>) | undefined;
  /** Lower-case, sorted. */
  readonly vary: readonly string[];
  readonly query: readonly string[] | undefined;
  readonly condition: ((request: object) => boolean) | undefined;
  readonly unless: ((body: unknown, request: object) => boolean) | undefined;
  readonly etag: 'weak' | 'strong' | false;
  readonly cacheControl: string | false | undefined;
  readonly heedsDirectives: boolean;
  readonly cache: string;
}

const where = '@HttpCache';
const known = ['ttl', 'staleIfError', 'tags', 'resultTags', 'varyBy', 'vary', 'query', 'condition', 'unless'];
const headerName = /^[!#$%&'*+.^_`|~\w-]+$/;
/** Their values are secrets, and whoever they belong to is what `varyBy` is for. */
const identities = ['authorization', 'cookie', 'proxy-authorization'];

/** @throws OptionsError */
export function resolveHttpCache<Q, B>(raw: HttpCacheOptions<Q, B>): ResolvedHttpCache {
  checkKnownKeys(raw, [...known, 'etag', 'cacheControl', 'requestDirectives', 'cache'], where);
  const load = {
    ...(raw.ttl === undefined ? {} : { ttl: raw.ttl }),
    ...(raw.staleIfError === undefined ? {} : { staleIfError: raw.staleIfError }),
  };
  checkLoadOptions(load, where);
  for (const name of ['resultTags', 'varyBy', 'condition', 'unless'] as const) {
    if (raw[name] !== undefined) checkFunction(raw[name], `${where}.${name}`);
  }
  checkTags(raw.tags);
  const { etag = 'weak', cacheControl, requestDirectives = 'ignore', cache = 'default' } = raw;
  if (etag !== false) checkOneOf(etag, `${where}.etag`, ['weak', 'strong']);
  checkOneOf(requestDirectives, `${where}.requestDirectives`, ['ignore', 'heed']);
  if (
    cacheControl !== undefined &&
    cacheControl !== false &&
    (typeof cacheControl !== 'string' || /[^\x20-\x7e]/.test(cacheControl))
  ) {
    throw new OptionsError(
      `${where}.cacheControl`,
      "expected the text of a header, such as 'public, max-age=60', or false.",
    );
  }
  // The functions take what the user says the request and the body are; nothing here can know better.
  const functions = raw as HttpCacheOptions<object>;
  return Object.freeze({
    load,
    ttlMs: raw.ttl === undefined ? undefined : durationMs(raw.ttl, `${where}.ttl`),
    tags: functions.tags,
    resultTags: functions.resultTags,
    varyBy: functions.varyBy,
    vary: resolveVary(raw.vary ?? []),
    query: raw.query === undefined ? undefined : texts(raw.query, 'query'),
    condition: functions.condition,
    unless: functions.unless,
    etag,
    cacheControl,
    heedsDirectives: requestDirectives === 'heed',
    cache,
  });
}

/** Those that are written down; what a function returns is known when it is asked. */
function checkTags(tags: unknown): void {
  if (tags === undefined || typeof tags === 'function') return;
  const isList = Array.isArray(tags) && tags.length <= mostTags;
  if (!isList) throw new OptionsError(`${where}.tags`, `expected an array of at most ${mostTags} tags, or a function.`);
  for (const tag of tags) {
    try {
      checkKey(tag);
    } catch (error) {
      throw new OptionsError(`${where}.tags`, error instanceof Error ? error.message : 'expected tags.');
    }
  }
}

function resolveVary(vary: readonly string[]): readonly string[] {
  const names = texts(vary, 'vary').map((name) => name.toLowerCase());
  for (const name of names) {
    if (name === '*' || !headerName.test(name))
      throw new OptionsError(`${where}.vary`, 'expected names of request headers.');
    if (identities.includes(name)) {
      throw new OptionsError(
        `${where}.vary`,
        `${name} says who asks: give varyBy a function that returns the id of the user.`,
      );
    }
  }
  return [...new Set(names)].toSorted();
}

function texts(values: readonly string[], option: string): readonly string[] {
  const given: unknown = values;
  const isList = Array.isArray(given) && given.every((value) => typeof value === 'string' && value !== '');
  if (!isList) throw new OptionsError(`${where}.${option}`, 'expected an array of non-empty strings.');
  return [...values];
}
