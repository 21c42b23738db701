import { createHash } from 'node:crypto';
import {
  checkFunction,
  checkInteger,
  checkKnownKeys,
  checkText,
  encodeSubject,
  OptionsError,
  type Key,
} from '@redstart/redis-core';
import { defaultIpv6Prefix, subnetOf } from './address.js';
import type { RateLimitContext } from './context.js';
import { isLater } from './later.js';

/** What a key function may return: nothing means that the call has no such identity. */
export type MaybeKey = Key | null | undefined;

/** Says by what calls are counted. */
export interface RequestKey {
  (context: RateLimitContext): MaybeKey | Promise<MaybeKey>;
  /** What it looks for, for messages: `user or ip`. */
  readonly wanted?: string;
}

export interface IpKeyOptions {
  /** How many bits of an IPv6 address count: what your clients command of them. @default 64 */
  ipv6Prefix?: number;
}

/** RFC 9110: a token. */
const fieldName = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** Fields of a user that commonly hold the identity, in order. */
const userFields = ['id', 'sub', 'userId'] as const;

/**
 * Ready-made key functions. A call without the identity is refused, or treated as `anonymous` says; it is never silently counted together with others like it.
 *
 * @example  @RateLimit('api', { key: by.any(by.apiKey(), by.user(), by.ip()) })
 */
export const by = Object.freeze({
  /** The address of the client, `['ip', …]`; of an IPv6 address its /64, since one client commands all of those. */
  ip: (options: IpKeyOptions = {}): RequestKey => {
    checkKnownKeys(options, ['ipv6Prefix'], 'by.ip');
    const prefix = checkInteger(options.ipv6Prefix ?? defaultIpv6Prefix, 'by.ip.ipv6Prefix', 1, 128);
    return named('ip', ({ ip }) => (ip === undefined ? undefined : ['ip', subnetOf(ip, prefix)]));
  },

  /** The user that authentication has found, `['user', …]`: its `id`, `sub` or `userId`, or what `identity` picks. */
  user: (identity: (user: unknown) => string | number | bigint | undefined = identityOf): RequestKey => {
    checkFunction(identity, 'by.user');
    return named('user', ({ user }) => {
      const id = user === undefined || user === null ? undefined : identity(user);
      return id === undefined || id === '' ? undefined : ['user', id];
    });
  },

  /** The value of a header, `['header', name, …]`. Anybody may send anything in it: use it behind authentication, or for what a proxy of yours sets. */
  header: (name: string): RequestKey => {
    const lower = checkHeaderName(name, 'by.header');
    return named(`header ${name}`, (context) => {
      const value = context.header(lower);
      return value === undefined || value === '' ? undefined : ['header', lower, value];
    });
  },

  /** Like {@link by.header}, for a header that holds a secret: only its hash reaches Redis. @default 'x-api-key' */
  apiKey: (name = 'x-api-key'): RequestKey => {
    const lower = checkHeaderName(name, 'by.apiKey');
    return named(`header ${name}`, (context) => {
      const value = context.header(lower);
      return value === undefined || value === '' ? undefined : ['apikey', lower, hash(value)];
    });
  },

  /** The first of these that the call has. */
  any: (...keys: readonly [RequestKey, ...RequestKey[]]): RequestKey => {
    for (const key of keys) checkFunction(key, 'by.any');
    return named(wantedOf(keys, ' or '), (context) => firstOf(keys, context));
  },

  /** All of these together: another combination is another count. A call that lacks one of them has no identity. */
  all: (...keys: readonly [RequestKey, ...RequestKey[]]): RequestKey => {
    for (const key of keys) checkFunction(key, 'by.all');
    return named(wantedOf(keys, ' and '), (context) => partsOf(keys, context, []));
  },
});

/** Whether a key function found no identity. */
export function isMissing(key: unknown): key is null | undefined | '' {
  return key === undefined || key === null || key === '';
}

/** How a key function is described to whoever reads an error. */
export function wantedBy({ wanted = 'a key of your own' }: RequestKey): string {
  return wanted;
}

/** The identity of a user as authentication libraries describe one. */
export function identityOf(user: unknown): string | number | bigint | undefined {
  if (typeof user !== 'object' || user === null) return undefined;
  for (const field of userFields) {
    const id: unknown = Reflect.get(user, field);
    if (typeof id === 'string' || typeof id === 'number' || typeof id === 'bigint') return id;
  }
  return undefined;
}

/** Asks one after the other, and waits for those only that are not there at once. */
function firstOf(keys: readonly RequestKey[], context: RateLimitContext): MaybeKey | Promise<MaybeKey> {
  for (const [index, key] of keys.entries()) {
    const found = key(context);
    if (isLater(found)) {
      return Promise.resolve(found).then((known) =>
        isMissing(known) ? firstOf(keys.slice(index + 1), context) : known,
      );
    }
    if (!isMissing(found)) return found;
  }
  return undefined;
}

/** Each of them is one part, whatever it is made of: ['a'] and ['b', 'c'] never meet ['a', 'b'] and ['c']. */
function partsOf(
  keys: readonly RequestKey[],
  context: RateLimitContext,
  parts: readonly string[],
): MaybeKey | Promise<MaybeKey> {
  const [key, ...others] = keys;
  if (key === undefined) return parts;
  const found = key(context);
  const goOn = (known: MaybeKey) =>
    isMissing(known) ? undefined : partsOf(others, context, [...parts, encodeSubject(known)]);
  return isLater(found) ? Promise.resolve(found).then(goOn) : goOn(found);
}

function named(wanted: string, key: (context: RateLimitContext) => MaybeKey | Promise<MaybeKey>): RequestKey {
  return Object.assign(key, { wanted });
}

function wantedOf(keys: readonly RequestKey[], conjunction: string): string {
  return keys.map(wantedBy).join(conjunction);
}

function checkHeaderName(name: unknown, option: string): string {
  const text = checkText(name, option);
  if (fieldName.test(text)) return text.toLowerCase();
  throw new OptionsError(option, `${JSON.stringify(text.slice(0, 60))} is no name of a header.`);
}

function hash(secret: string): string {
  return createHash('sha256').update(secret).digest('base64url').slice(0, 32);
}
