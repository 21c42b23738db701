import type { ConnectionOptions as TlsOptions } from 'node:tls';
import type { Cluster, ClusterOptions, Redis, RedisOptions } from 'ioredis';
import { resolveTarget, type ConnectionTarget } from './connection/target.js';
import { checkBoolean, checkInteger, checkKnownKeys, checkOneOf, checkText } from './options/check.js';
import { KeySpace } from './keys/key-space.js';
import { durationMs, type Duration } from './time/duration.js';

/** A Redis client of ioredis: one server (or Sentinel), or a Cluster. */
export type RedisClient = Redis | Cluster;

export interface NodeAddress {
  host: string;
  /** @default 6379, for sentinels 26379 */
  port?: number;
}

/** Where Redis is: exactly one of `url`, `host`, `sentinels`, `cluster` or `client`. Without any: 127.0.0.1:6379. */
export interface RedisTargetOptions {
  /** `redis://user:password@host:6379/0`, or `rediss://` for TLS. */
  url?: string;
  host?: string;
  /** @default 6379 */
  port?: number;
  username?: string;
  password?: string;
  /** The logical database, 0..; Cluster has only 0. @default 0 */
  db?: number;
  /** `true` verifies the server against the system's authorities; an object is passed to `tls.connect`. */
  tls?: boolean | TlsOptions;
  /** The sentinels to ask for the master. Needs `masterName`. */
  sentinels?: NodeAddress[];
  masterName?: string;
  sentinelUsername?: string;
  sentinelPassword?: string;
  /** Some nodes of a Cluster, as addresses or URLs; the rest is discovered. */
  cluster?: (string | NodeAddress)[];
  /** A client of your own. It serves ordinary commands and is never closed by us; its duplicates are ours. */
  client?: RedisClient;
}

export interface RedisOptionsBase extends RedisTargetOptions {
  /** The first part of every key, e.g. the name of the application. Required, so that two applications never mix. */
  namespace: string;
  /** `wait`: the application boots when Redis answers, or fails after `startupTimeout`. `lazy`: it boots at once. @default 'wait' */
  startup?: 'wait' | 'lazy';
  /** @default '10s' */
  startupTimeout?: Duration;
  /** How long `quit` may take at shutdown before the socket is cut. @default '1s' */
  shutdownTimeout?: Duration;
  /** How long an attempt to connect may take. @default '2s' */
  connectTimeout?: Duration;
  /** How long a connection with commands in flight may stay silent before it is taken for dead and replaced. @default '5s' */
  socketTimeout?: Duration;
  /** Where `connection.reader` reads: a replica may lag behind. Sentinel and Cluster only. @default 'master' */
  readFrom?: 'master' | 'replica';
  /** Answer our own errors over HTTP as `application/problem+json`. @default true */
  httpErrors?: boolean;
  /** Connections for WATCH/MULTI and blocking calls of your own; see {@link RedisPool}. */
  pool?: {
    /** @default 10 */
    max?: number;
    /** How long to wait for a free connection. @default '1s' */
    acquireTimeout?: Duration;
  };
  /** Stops calling a Redis that does not answer. */
  breaker?: {
    /** Failures in a row that open it. @default 5 */
    failures?: number;
    /** How long it stays open at first; doubles up to 16 times that. @default '500ms' */
    openFor?: Duration;
  };
  /** Further options of ioredis, for what has no name here (`family`, `natMap`, `dnsLookup` …). */
  ioredis?: Pick<RedisOptions, 'family' | 'connectionName' | 'noDelay' | 'keepAlive' | 'maxLoadingRetryTime'> &
    Pick<ClusterOptions, 'natMap' | 'dnsLookup' | 'slotsRefreshInterval'>;
}

/** Options of `RedisModule.forRoot`: `name` stands beside them, so that it is known before an asynchronous factory runs. */
export interface RedisModuleOptions extends RedisOptionsBase {
  /** @default 'default' */
  name?: string;
}

/** Complete, checked, frozen: nothing below handles `undefined`. Durations are milliseconds. */
export interface ResolvedRedisOptions {
  readonly name: string;
  readonly keys: KeySpace;
  readonly target: ConnectionTarget;
  readonly startup: 'wait' | 'lazy';
  readonly startupTimeoutMs: number;
  readonly shutdownTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly socketTimeoutMs: number;
  readonly readFrom: 'master' | 'replica';
  readonly pool: { readonly max: number; readonly acquireTimeoutMs: number };
  readonly breaker: { readonly failures: number; readonly openForMs: number };
  readonly ioredis: NonNullable<RedisOptionsBase['ioredis']>;
}

export const defaultConnectionName = 'default';

const defaults = {
  startup: 'wait',
  startupTimeout: '10s',
  shutdownTimeout: '1s',
  connectTimeout: '2s',
  socketTimeout: '5s',
  readFrom: 'master',
  pool: { max: 10, acquireTimeout: '1s' },
  breaker: { failures: 5, openFor: '500ms' },
} as const satisfies Partial<RedisOptionsBase>;

const targetKeys = [
  ...['url', 'host', 'port', 'username', 'password', 'db', 'tls', 'sentinels', 'masterName'],
  ...['sentinelUsername', 'sentinelPassword', 'cluster', 'client'],
];
const knownKeys = [...['name', 'namespace', ...targetKeys, ...Object.keys(defaults), 'httpErrors', 'ioredis']];

/** The one place where raw options become {@link ResolvedRedisOptions}. Throws {@link OptionsError}; never shows a secret. */
export function resolveRedisOptions(raw: RedisOptionsBase, name: string = defaultConnectionName): ResolvedRedisOptions {
  const where = `RedisModule "${name}"`;
  checkKnownKeys(raw, knownKeys, where);
  const option = (key: string) => `${where}.${key}`;
  const duration = (key: 'startupTimeout' | 'shutdownTimeout' | 'connectTimeout' | 'socketTimeout') =>
    durationMs(raw[key] ?? defaults[key], option(key));
  if (raw.httpErrors !== undefined) checkBoolean(raw.httpErrors, option('httpErrors'));
  const pool = { ...defaults.pool, ...raw.pool };
  checkKnownKeys(pool, Object.keys(defaults.pool), option('pool'));
  const breaker = { ...defaults.breaker, ...raw.breaker };
  checkKnownKeys(breaker, Object.keys(defaults.breaker), option('breaker'));
  return Object.freeze({
    name: checkText(name, 'RedisModule name'),
    keys: new KeySpace(raw.namespace),
    target: resolveTarget(raw, where),
    startup: checkOneOf(raw.startup ?? defaults.startup, option('startup'), ['wait', 'lazy']),
    startupTimeoutMs: duration('startupTimeout'),
    shutdownTimeoutMs: duration('shutdownTimeout'),
    connectTimeoutMs: duration('connectTimeout'),
    socketTimeoutMs: duration('socketTimeout'),
    readFrom: checkOneOf(raw.readFrom ?? defaults.readFrom, option('readFrom'), ['master', 'replica']),
    pool: Object.freeze({
      max: checkInteger(pool.max, option('pool.max'), 1, 10_000),
      acquireTimeoutMs: durationMs(pool.acquireTimeout, option('pool.acquireTimeout')),
    }),
    breaker: Object.freeze({
      failures: checkInteger(breaker.failures, option('breaker.failures'), 1, 1_000_000),
      openForMs: durationMs(breaker.openFor, option('breaker.openFor')),
    }),
    ioredis: { ...raw.ioredis },
  });
}
