import { Cluster, Redis, type RedisOptions } from 'ioredis';
import type { RedisClient, ResolvedRedisOptions } from '../redis.options.js';
import { isCluster } from './cluster.js';
import { guardClient } from './client-guard.js';
import { clusterProfileOptions, profileOptions, type ConnectionProfile } from './profiles.js';

/** Builds a client of ours, unconnected. A user's own client is taken as it is for `request` and duplicated for everything else. */
export function createClient(
  options: ResolvedRedisOptions,
  profile: ConnectionProfile,
  role: 'master' | 'replica' = 'master',
): RedisClient {
  const { target } = options;
  if (target.kind === 'client' && profile === 'request' && role === 'master') return target.client;
  const client = build(options, profile, role);
  // An `error` event without a listener is printed by ioredis, command arguments and all. Whoever waits for the client hears of it.
  client.on('error', ignoreHere);
  guardClient(client, options.name, profile === 'request' ? options.socketTimeoutMs : undefined);
  return client;
}

/**
 * A connection to a single server: to `node` (`host:port`) of a Cluster, otherwise to where the connection leads.
 * A Cluster's node takes credentials and TLS from the Cluster's own client.
 */
export function createNodeClient(
  options: ResolvedRedisOptions,
  profile: ConnectionProfile,
  request: RedisClient,
  node: string | undefined,
): Redis {
  const alike = isCluster(request) ? undefined : createClient(options, profile);
  if (alike !== undefined && !isCluster(alike)) return alike;
  const address = node === undefined ? undefined : parseAddress(node);
  const template = isCluster(request) ? request.options.redisOptions : undefined;
  const client = new Redis({ ...template, ...profileOptions(profile, options), ...address });
  client.on('error', ignoreHere);
  guardClient(client, options.name);
  return client;
}

function parseAddress(node: string): { host: string; port: number } {
  const colon = node.lastIndexOf(':');
  return { host: node.slice(0, colon), port: Number(node.slice(colon + 1)) };
}

function ignoreHere(): void {
  // Every failed connect attempt ends here; calls and start-up report the outage with its cause.
}

function build(options: ResolvedRedisOptions, profile: ConnectionProfile, role: 'master' | 'replica'): RedisClient {
  const { target } = options;
  switch (target.kind) {
    case 'standalone':
      return new Redis({
        ...profileOptions(profile, options),
        ...target.address,
        db: target.db,
        ...credentialsOf(target),
        ...tlsOf(target),
      });
    case 'sentinel':
      return new Redis({
        ...profileOptions(profile, options),
        sentinels: [...target.sentinels],
        name: target.masterName,
        role: role === 'replica' ? 'slave' : 'master',
        db: target.db,
        failoverDetector: true,
        sentinelRetryStrategy: reconnectToSentinels,
        sentinelReconnectStrategy: reconnectToSentinels,
        // Without it a sentinel that hangs would keep the client from asking the next one.
        sentinelCommandTimeout: options.connectTimeoutMs,
        ...credentialsOf(target),
        ...(target.sentinelCredentials.username === undefined
          ? {}
          : { sentinelUsername: target.sentinelCredentials.username }),
        ...(target.sentinelCredentials.password === undefined
          ? {}
          : { sentinelPassword: target.sentinelCredentials.password }),
        ...(target.tls === undefined
          ? {}
          : { tls: target.tls, enableTLSForSentinelMode: true, sentinelTLS: target.tls }),
      });
    case 'cluster': {
      const cluster = clusterProfileOptions(profile, options);
      return new Cluster([...target.nodes], {
        ...cluster,
        scaleReads: role === 'replica' ? 'slave' : 'master',
        redisOptions: { ...cluster.redisOptions, ...credentialsOf(target), ...tlsOf(target) },
      });
    }
    case 'client': {
      const own = target.client;
      if (!isCluster(own)) {
        return own.duplicate({ ...profileOptions(profile, options), ...(role === 'replica' ? { role: 'slave' } : {}) });
      }
      const cluster = clusterProfileOptions(profile, options);
      return own.duplicate([], {
        ...cluster,
        scaleReads: role === 'replica' ? 'slave' : 'master',
        redisOptions: { ...own.options.redisOptions, ...cluster.redisOptions },
      });
    }
  }
}

/** All sentinels failed to answer: ask again soon, for ever. Ending here would leave the client dead after a short outage. */
function reconnectToSentinels(attempt: number): number {
  return Math.min(100 * attempt, 1_000);
}

function credentialsOf(target: { username?: string; password?: string }): Pick<RedisOptions, 'username' | 'password'> {
  return {
    ...(target.username === undefined ? {} : { username: target.username }),
    ...(target.password === undefined ? {} : { password: target.password }),
  };
}

function tlsOf(target: { tls?: RedisOptions['tls'] }): Pick<RedisOptions, 'tls'> {
  return target.tls === undefined ? {} : { tls: target.tls };
}
