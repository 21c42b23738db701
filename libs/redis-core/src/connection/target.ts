import type { ConnectionOptions as TlsOptions } from 'node:tls';
import { isCluster } from './cluster.js';
import { checkBoolean, checkInteger, checkSecret, checkText } from '../options/check.js';
import { quote } from '../options/quote.js';
import { OptionsError } from '../redis.errors.js';
import type { NodeAddress, RedisClient, RedisTargetOptions } from '../redis.options.js';

interface Credentials {
  readonly username?: string;
  readonly password?: string;
}

/** Where a connection leads, after every way to write it down has been brought to one form. */
export type ConnectionTarget =
  | ({ readonly kind: 'standalone'; readonly address: Required<NodeAddress>; readonly db: number } & Credentials & Tls)
  | ({
      readonly kind: 'sentinel';
      readonly sentinels: readonly Required<NodeAddress>[];
      readonly masterName: string;
      readonly sentinelCredentials: Credentials;
      readonly db: number;
    } & Credentials &
      Tls)
  | ({ readonly kind: 'cluster'; readonly nodes: readonly Required<NodeAddress>[] } & Credentials & Tls)
  | { readonly kind: 'client'; readonly client: RedisClient };

interface Tls {
  readonly tls?: TlsOptions;
}

const redisPort = 6379;
const sentinelPort = 26_379;

/** Brings `url | host | sentinels | cluster | client` to one {@link ConnectionTarget}, or says which of them contradict each other. */
export function resolveTarget(raw: RedisTargetOptions, where: string): ConnectionTarget {
  const option = (key: string) => `${where}.${key}`;
  const ways = (['url', 'host', 'sentinels', 'cluster', 'client'] as const).filter((way) => raw[way] !== undefined);
  if (ways.length > 1) {
    throw new OptionsError(where, `${ways.join(' and ')} contradict each other: give exactly one of them.`);
  }
  switch (ways[0]) {
    case 'client':
      return { kind: 'client', client: checkClient(raw.client, raw, option) };
    case 'cluster':
      return clusterTarget(raw, option);
    case 'sentinels':
      return {
        kind: 'sentinel',
        sentinels: checkAddresses(raw.sentinels, option('sentinels'), sentinelPort),
        masterName: checkText(raw.masterName, option('masterName')),
        sentinelCredentials: credentials({ username: raw.sentinelUsername, password: raw.sentinelPassword }, (key) =>
          option(key === 'username' ? 'sentinelUsername' : 'sentinelPassword'),
        ),
        db: database(raw.db, option('db')),
        ...credentials(raw, option),
        ...tls(raw.tls, option('tls')),
      };
    case 'url':
      return urlTarget(raw, option);
    default:
      return {
        kind: 'standalone',
        address: checkAddress({ host: raw.host ?? '127.0.0.1', ...defined('port', raw.port) }, where, redisPort),
        db: database(raw.db, option('db')),
        ...credentials(raw, option),
        ...tls(raw.tls, option('tls')),
      };
  }
}

/** The hosts and ports of a target, for messages. Never a user name, never a password. */
export function describeTarget(target: ConnectionTarget): string {
  switch (target.kind) {
    case 'standalone':
      return `Redis at ${describeAddress(target.address)}`;
    case 'sentinel':
      return `Redis master "${target.masterName}" by the sentinels ${target.sentinels.map(describeAddress).join(', ')}`;
    case 'cluster':
      return `Redis Cluster at ${target.nodes.map(describeAddress).join(', ')}`;
    case 'client':
      return describeClient(target.client);
  }
}

export function describeAddress({ host, port }: { host: string; port: number }): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function describeClient(client: RedisClient): string {
  if (isCluster(client)) return 'the Redis Cluster of your own client';
  const { host, port, path } = client.options as { host?: string; port?: number; path?: string };
  return `Redis at ${path ?? describeAddress({ host: host ?? '127.0.0.1', port: port ?? redisPort })} (your own client)`;
}

type OptionName = (key: string) => string;

function urlTarget(raw: RedisTargetOptions, option: OptionName): ConnectionTarget {
  for (const key of ['port', 'username', 'password', 'db'] as const) {
    if (raw[key] !== undefined) {
      throw new OptionsError(option(key), 'stands beside url: put it into the url, or give host instead of url.');
    }
  }
  const url = parseRedisUrl(raw.url, option('url'));
  return {
    kind: 'standalone',
    address: url.address,
    db: url.db ?? 0,
    ...url.credentials,
    ...(url.secure && (raw.tls === undefined || raw.tls === true) ? { tls: {} } : tls(raw.tls, option('tls'))),
  };
}

function clusterTarget(raw: RedisTargetOptions, option: OptionName): ConnectionTarget {
  if (raw.db !== undefined && raw.db !== 0) {
    throw new OptionsError(option('db'), `got ${quote(raw.db)}; a Cluster has only database 0.`);
  }
  if (!Array.isArray(raw.cluster) || raw.cluster.length === 0) {
    throw new OptionsError(
      option('cluster'),
      `got ${quote(raw.cluster)}; expected a non-empty array of addresses or URLs.`,
    );
  }
  const entries: readonly unknown[] = raw.cluster;
  const nodes = entries.map((entry, index) => {
    const where = option(`cluster[${index}]`);
    return typeof entry === 'string'
      ? parseRedisUrl(entry, where)
      : { address: checkAddress(entry, where, redisPort), credentials: {}, secure: false };
  });
  return {
    kind: 'cluster',
    nodes: nodes.map((node) => node.address),
    ...nodes.find((node) => node.credentials.password !== undefined)?.credentials,
    ...credentials(raw, option),
    ...(nodes.some((node) => node.secure) && raw.tls === undefined ? { tls: {} } : tls(raw.tls, option('tls'))),
  };
}

interface ParsedUrl {
  address: Required<NodeAddress>;
  credentials: Credentials;
  db?: number;
  secure: boolean;
}

/** Parses `redis[s]://user:password@host:port/db`. No error of it shows the URL: a password may be anywhere in a malformed one. */
function parseRedisUrl(text: unknown, option: string): ParsedUrl {
  const expected =
    'expected redis://user:password@host:port/db or rediss:// (the value is not shown, it may hold a password)';
  const refuse = (problem: string): never => {
    throw new OptionsError(option, `${problem}; ${expected}.`);
  };
  if (typeof text !== 'string') return refuse(`got a value of type ${typeof text}`);
  const url = URL.canParse(text) ? new URL(text) : refuse('is not a URL');
  if (url.protocol !== 'redis:' && url.protocol !== 'rediss:') {
    return refuse(`has the scheme ${quote(url.protocol)}`);
  }
  if (url.hostname === '') return refuse('names no host');
  if (url.search !== '' || url.hash !== '') return refuse('has a query or a fragment, which mean nothing here');
  const path = url.pathname.replace(/^\//, '');
  if (!/^\d{0,9}$/.test(path)) return refuse(`has a path that is not a database number`);
  const decode = (part: string) => {
    try {
      return decodeURIComponent(part);
    } catch {
      // The error of decodeURIComponent is of no use, and its message must not carry the part along.
      return refuse('has a user name or password that is not percent-encoded');
    }
  };
  return {
    address: { host: url.hostname.replace(/^\[(.*)\]$/, '$1'), port: url.port === '' ? redisPort : Number(url.port) },
    credentials: {
      ...(url.username === '' ? {} : { username: decode(url.username) }),
      ...(url.password === '' ? {} : { password: decode(url.password) }),
    },
    ...(path === '' ? {} : { db: Number(path) }),
    secure: url.protocol === 'rediss:',
  };
}

function checkAddresses(list: unknown, option: string, port: number): Required<NodeAddress>[] {
  if (!Array.isArray(list) || list.length === 0) {
    throw new OptionsError(option, `got ${quote(list)}; expected a non-empty array of { host, port }.`);
  }
  return list.map((address: unknown, index) => checkAddress(address, `${option}[${index}]`, port));
}

function checkAddress(address: unknown, option: string, defaultPort: number): Required<NodeAddress> {
  if (typeof address !== 'object' || address === null || !('host' in address)) {
    throw new OptionsError(option, `got ${quote(address)}; expected { host, port }.`);
  }
  return {
    host: checkHost(address.host, `${option}.host`),
    port: checkInteger('port' in address ? (address.port ?? defaultPort) : defaultPort, `${option}.port`, 1, 65_535),
  };
}

/** A host that looks like a URL is not shown: it may hold a password. */
function checkHost(host: unknown, option: string): string {
  const text = checkText(host, option);
  if (/[\s/@]/.test(text)) {
    throw new OptionsError(
      option,
      'holds a slash, an @ or white space; expected a host name or an address. A URL belongs into url.',
    );
  }
  return text;
}

function checkClient(client: unknown, raw: RedisTargetOptions, option: OptionName): RedisClient {
  for (const key of ['port', 'username', 'password', 'db', 'tls'] as const) {
    if (raw[key] !== undefined) throw new OptionsError(option(key), 'stands beside client: your client has its own.');
  }
  if (!isRedisClient(client)) {
    throw new OptionsError(option('client'), `got ${quote(client)}; expected a Redis or Cluster of ioredis.`);
  }
  const nodeOptions = isCluster(client) ? client.options.redisOptions : client.options;
  if (client.options.keyPrefix || nodeOptions?.keyPrefix) {
    throw new OptionsError(
      option('client'),
      `has the ioredis option keyPrefix ${quote(client.options.keyPrefix ?? nodeOptions?.keyPrefix)}, which would change the keys of our scripts. Remove it; use namespace instead.`,
    );
  }
  if (nodeOptions?.stringNumbers === true) {
    throw new OptionsError(
      option('client'),
      'has the ioredis option stringNumbers, which breaks integer replies. Remove it.',
    );
  }
  return client;
}

function isRedisClient(client: unknown): client is RedisClient {
  return (
    typeof client === 'object' &&
    client !== null &&
    'duplicate' in client &&
    'sendCommand' in client &&
    'isCluster' in client &&
    'options' in client &&
    typeof client.options === 'object'
  );
}

function credentials(
  raw: { username?: string | undefined; password?: string | undefined },
  option: OptionName,
): Credentials {
  return {
    ...(raw.username === undefined ? {} : { username: checkText(raw.username, option('username')) }),
    ...(raw.password === undefined ? {} : { password: checkSecret(raw.password, option('password')) }),
  };
}

function tls(raw: unknown, option: string): Tls {
  if (raw === undefined || raw === false) return {};
  if (typeof raw === 'object' && raw !== null) return { tls: raw };
  return checkBoolean(raw, option) ? { tls: {} } : {};
}

function database(raw: unknown, option: string): number {
  return raw === undefined ? 0 : checkInteger(raw, option, 0, 1_000_000);
}

function defined<K extends string, V>(key: K, value: V | undefined): Partial<Record<K, V>> {
  return value === undefined ? {} : ({ [key]: value } as Record<K, V>);
}
