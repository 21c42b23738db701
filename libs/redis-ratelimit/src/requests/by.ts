import { createHash } from 'node:crypto';
import type { ExecutionContext } from '@nestjs/common';
import type { Key } from '@redstart/redis-core';
import { subnetOf } from './address.js';

/** What a key or cost function of `@RateLimit` sees of a request. */
export interface RateLimitContext {
  /** The request of the framework: Express' or Fastify's. */
  readonly request: unknown;
  /** The client's address as the framework trusts it: set Express' `trust proxy` or Fastify's `trustProxy` to the proxies that you run. */
  readonly ip: string | undefined;
  /** `request.user`, where authentication guards put it. */
  readonly user: unknown;
  /** A header by its name, in any case. Several values count as one text. */
  header(name: string): string | undefined;
  readonly execution: ExecutionContext;
}

/** What a key function may return: nothing means that the request has no such identity. */
export type MaybeKey = Key | null | undefined;

/** Says by what a request is counted. */
export interface RequestKey {
  (context: RateLimitContext): MaybeKey | Promise<MaybeKey>;
  /** What it looks for, for messages: `user or ip`. */
  readonly wanted?: string;
}

/** Fields of `request.user` that commonly hold the identity, in order. */
const userFields = ['id', 'sub', 'userId'] as const;

/**
 * Ready-made key functions. A request without the identity is refused, and never counted together with others like it.
 *
 * @example  @RateLimit('api', { key: by.any(by.apiKey(), by.user(), by.ip()) })
 */
export const by = Object.freeze({
  /** The address of the client, `['ip', …]`; of an IPv6 address its /64, since one client commands all of those. */
  ip: (): RequestKey => named('ip', ({ ip }) => (ip === undefined ? undefined : ['ip', subnetOf(ip)])),

  /** The user that authentication has found, `['user', …]`: its `id`, `sub` or `userId`, or what `identity` picks. */
  user: (identity: (user: unknown) => string | number | bigint | undefined = idOf): RequestKey =>
    named('user', ({ user }) => {
      const id = user === undefined || user === null ? undefined : identity(user);
      return id === undefined || id === '' ? undefined : ['user', id];
    }),

  /** The value of a header, `['header', name, …]`. Anybody may send anything in it: use it behind authentication, or for what a proxy of yours sets. */
  header: (name: string): RequestKey =>
    named(`header ${name}`, (context) => {
      const value = context.header(name);
      return value === undefined || value === '' ? undefined : ['header', name.toLowerCase(), value];
    }),

  /** Like {@link by.header}, for a header that holds a secret: only its hash reaches Redis. @default 'x-api-key' */
  apiKey: (name = 'x-api-key'): RequestKey =>
    named(`header ${name}`, (context) => {
      const value = context.header(name);
      return value === undefined || value === '' ? undefined : ['apikey', name.toLowerCase(), hash(value)];
    }),

  /** The first of these that the request has. */
  any: (...keys: readonly [RequestKey, ...RequestKey[]]): RequestKey =>
    named(keys.map(({ wanted = 'a key of your own' }) => wanted).join(' or '), async (context) => {
      for (const key of keys) {
        const found = await key(context);
        if (!isMissing(found)) return found;
      }
      return undefined;
    }),
});

/** Whether a key function found no identity. */
export function isMissing(key: unknown): key is null | undefined | '' {
  return key === undefined || key === null || key === '';
}

function named(wanted: string, key: (context: RateLimitContext) => MaybeKey | Promise<MaybeKey>): RequestKey {
  return Object.assign(key, { wanted });
}

function idOf(user: unknown): string | number | bigint | undefined {
  if (typeof user !== 'object' || user === null) return undefined;
  for (const field of userFields) {
    const id: unknown = Reflect.get(user, field);
    if (typeof id === 'string' || typeof id === 'number' || typeof id === 'bigint') return id;
  }
  return undefined;
}

function hash(secret: string): string {
  return createHash('sha256').update(secret).digest('base64url').slice(0, 32);
}
