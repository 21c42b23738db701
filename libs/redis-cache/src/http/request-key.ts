import { createHash } from 'node:crypto';
import { encodeSubject, type Key, type KeyPart } from '@redstart/redis-core';
import type { ResolvedHttpCache } from './http-cache.options.js';

/** What is read of a request, as Express and Fastify give it. Both know of proxies that they trust. */
export interface CachedRequest {
  readonly method: string;
  readonly url: string;
  readonly originalUrl?: string;
  readonly protocol?: string;
  readonly host?: string;
  readonly headers: NodeJS.Dict<string | string[]>;
  /** As the parser of the framework has read it, and as the handler will. */
  readonly query?: unknown;
  readonly user?: unknown;
}

/**
 * Where a response is kept: its handler, its URL with scheme and host, and a hash of what else tells responses apart, since that may be a secret.
 *
 * @param identity whose response it is; `undefined` for nobody in particular
 * @throws InvalidKeyError for an identity that is no key
 */
export function requestKey(
  handler: readonly [className: string, methodName: string],
  request: CachedRequest,
  { vary, query }: Pick<ResolvedHttpCache, 'vary' | 'query'>,
  identity: Key | undefined,
): Key {
  const { protocol = 'http', host = request.headers['host'] ?? '' } = request;
  const origin = `${protocol}://${String(host)}`;
  const parts: KeyPart[] = [...handler, origin, ...targetOf(request, query)];
  if (vary.length === 0 && identity === undefined) return parts;
  const values = vary.map((name) => [name, valueOf(request, name)]);
  const told = JSON.stringify([values, identity === undefined ? null : encodeSubject(identity)]);
  return [...parts, createHash('sha256').update(told).digest('base64url')];
}

/** All of it as it is written, or the path and the parameters that count. */
function targetOf(request: CachedRequest, query: readonly string[] | undefined): KeyPart[] {
  const url = request.originalUrl ?? request.url;
  const read = query === undefined ? undefined : readOf(request.query, query);
  // What is read stands in brackets, so nothing takes it for a hash.
  return read === undefined ? [url] : [url.replace(/\?.*/s, ''), read];
}

/**
 * What the handler gets of the parameters that count. Nothing here parses the URL once more: of two parsers that differ in a detail, such as how many parameters they take, the
 * second would let anybody store under the URL of all others what the handler has made of another query.
 *
 * Names may come in any order; what belongs to one of them keeps its own.
 *
 * @returns `undefined` where no text can tell it from all else: a parser of the application may bring what it likes
 */
function readOf(parsed: unknown, names: readonly string[]): string | undefined {
  if (!isPlain(parsed)) return undefined;
  const parameters = Object.entries(parsed);
  const read = names.toSorted().flatMap((name) => parameters.filter(([parameter]) => isPartOf(parameter, name)));
  return isJson(read) ? JSON.stringify(read) : undefined;
}

/** Parsers that nest read `filter[owner]` and `filter.owner` as parts of `filter`; from others the handler gets them under these names. */
function isPartOf(parameter: string, name: string): boolean {
  return parameter === name || parameter.startsWith(`${name}[`) || parameter.startsWith(`${name}.`);
}

/** Whether JSON writes nothing else as it writes this. */
function isJson(value: unknown): boolean {
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return true;
  if (typeof value === 'number') return Number.isFinite(value) && !Object.is(value, -0);
  // One with holes would be written as one with null.
  if (Array.isArray(value)) return Array.from(value).every(isJson);
  return isPlain(value) && Object.values(value).every(isJson);
}

/** Without a class that may hold more than can be seen. The prototype of Fastify's queries has none itself, as that of other objects has not. */
function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function valueOf({ headers }: CachedRequest, name: string): string | null {
  const value = headers[name];
  return Array.isArray(value) ? value.join(', ') : (value?.trim() ?? null);
}
