import { createHmac } from 'node:crypto';
import { checkBoolean, checkKnownKeys, checkOneOf, OptionsError } from '@redstart/redis-core';
import type { RateLimitDecision } from '../decision.js';
import type { Counted } from './call-ledger.js';
import { legacyFields, rateLimitFields } from './rate-limit-fields.js';

/** Which headers answers carry. `Retry-After` is sent with every denial. */
export interface RateLimitHeaderOptions {
  /** `RateLimit` and `RateLimit-Policy`. @default true */
  standard?: boolean;
  /** `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset` (seconds from now), of the limit that matters. @default false */
  legacy?: boolean;
  /**
   * Lets the scripts of other origins read them, by `Access-Control-Expose-Headers`: what stands there is kept. `'auto'`: where CORS is on, which the answer shows by
   * `Access-Control-Allow-Origin`. @default 'auto'
   */
  expose?: 'auto' | 'always' | 'never';
  /**
   * Tells in the parameter `pk` which answers share a count, as a keyed hash of whom they are counted for. The secret, of at least 16 characters, is the same in all
   * processes. @default none: it is not told
   */
  partitionKeySecret?: string;
}

/** Complete, checked, frozen. */
export type ResolvedHeaders = Readonly<Omit<Required<RateLimitHeaderOptions>, 'partitionKeySecret'>> & {
  readonly partitionKeySecret: string | undefined;
};

const defaults = { standard: true, legacy: false, expose: 'auto' } as const satisfies RateLimitHeaderOptions;
/** An identity is easily guessed, so what is hashed with it must not be. */
const shortestSecret = 16;
/** Enough to tell counts apart, too little to be worth keeping. */
const partitionKeyBytes = 9;

/** @throws OptionsError */
export function resolveHeaders(raw: boolean | RateLimitHeaderOptions, where: string): ResolvedHeaders {
  const none = { ...defaults, standard: false, partitionKeySecret: undefined };
  if (raw === false) return Object.freeze(none);
  const options = raw === true ? {} : raw;
  checkKnownKeys(options, [...Object.keys(defaults), 'partitionKeySecret'], where);
  const { partitionKeySecret: secret } = options;
  if (secret !== undefined && (typeof secret !== 'string' || secret.length < shortestSecret)) {
    throw new OptionsError(`${where}.partitionKeySecret`, `expected a text of at least ${shortestSecret} characters.`);
  }
  return Object.freeze({
    standard: checkBoolean(options.standard ?? defaults.standard, `${where}.standard`),
    legacy: checkBoolean(options.legacy ?? defaults.legacy, `${where}.legacy`),
    expose: checkOneOf(options.expose ?? defaults.expose, `${where}.expose`, ['auto', 'always', 'never']),
    partitionKeySecret: secret,
  });
}

/** What is read of a response. */
export interface HeaderAccess {
  get(name: string): unknown;
}

/**
 * The headers that tell a client what was decided for its call, those for other origins among them.
 *
 * @param existing what the response has already
 */
export function answerHeaders(
  counted: readonly Counted[],
  options: ResolvedHeaders,
  existing: HeaderAccess,
): Record<string, string> {
  const decisions = counted.map(({ decision }) => decision);
  const headers = options.standard
    ? rateLimitFields(decisions, partitionKeys(counted, options.partitionKeySecret))
    : {};
  if (options.legacy) Object.assign(headers, legacyFields(decisions));
  if (!isExposed(options, existing)) return headers;
  const denied = decisions.some(({ allowed }) => !allowed);
  const exposed = [...Object.keys(headers), ...(denied ? ['Retry-After'] : [])];
  const cors = exposed.length === 0 ? undefined : exposedHeaders(exposed, existing);
  return cors === undefined ? headers : { ...headers, 'Access-Control-Expose-Headers': cors };
}

function partitionKeys(counted: readonly Counted[], secret: string | undefined) {
  if (secret === undefined) return undefined;
  const subjects = new Map(counted.map(({ decision, subject }) => [decision, subject]));
  return (decision: RateLimitDecision) => {
    const digest = createHmac('sha256', secret)
      .update(subjects.get(decision) ?? '')
      .digest();
    return new Uint8Array(digest.subarray(0, partitionKeyBytes));
  };
}

/** Whether the scripts of other origins are told. */
function isExposed({ expose }: ResolvedHeaders, existing: HeaderAccess): boolean {
  return expose === 'always' || (expose === 'auto' && existing.get('Access-Control-Allow-Origin') !== undefined);
}

function exposedHeaders(names: readonly string[], existing: HeaderAccess): string | undefined {
  const present = [existing.get('Access-Control-Expose-Headers')]
    .flat()
    .flatMap((value) => (typeof value === 'string' ? value.split(',') : []))
    .map((name) => name.trim())
    .filter((name) => name !== '');
  if (present.includes('*')) return undefined;
  const known = new Set(present.map((name) => name.toLowerCase()));
  return [...present, ...names.filter((name) => !known.has(name.toLowerCase()))].join(', ');
}
