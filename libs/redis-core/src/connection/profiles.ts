import type { ClusterOptions, RedisOptions } from 'ioredis';
import type { ResolvedRedisOptions } from '../redis.options.js';

/**
 * What a connection is for.
 *
 * - `request`: ordinary commands. What is in flight when the connection breaks is rejected at once and never sent again by itself:
 *   the server may have carried it out, so a repetition is the caller's decision (measured: a resent INCR counted twice, a resent
 *   SET NX did not recognise its own lock).
 * - `blocking`: XREADGROUP BLOCK, BLMOVE and the like, one connection per reader. Waits for Redis as long as it takes.
 * - `lent`: a connection of the {@link RedisPool}. Never reconnects: a WATCH does not survive that, and nobody would notice.
 * - `subscriber`: one per application and connection, shared by all through the {@link SubscriberHub}.
 * - `tracking`: hears from one master which keys have changed (CLIENT TRACKING). Speaks RESP2 whatever the others speak, because ioredis 6 drops
 *   the pushes of RESP3 without a word. Queues nothing: what it says only means something on the connection that it was meant for.
 */
export type ConnectionProfile = 'request' | 'blocking' | 'lent' | 'subscriber' | 'tracking';

const minRetryMs = 50;
const maxRetryMs = 2_000;

/** Exponential backoff with full jitter, for ever: 50 ms to 2 s. The default of ioredis 6 lets a call wait 74 s through an outage. */
export function reconnectDelay(attempt: number): number {
  const ceiling = Math.min(maxRetryMs, minRetryMs * 2 ** Math.min(attempt, 10));
  return minRetryMs + Math.floor(Math.random() * (ceiling - minRetryMs));
}

/** Options of one node. Replies keep the shapes of RESP2, whatever the protocol: our parsers know only those. */
export type NodeOptions = RedisOptions & { replyMapping: 'legacy' };

export function profileOptions(profile: ConnectionProfile, options: ResolvedRedisOptions): NodeOptions {
  return {
    ...shared(options),
    ...(profile === 'request'
      ? // 0 rejects what is in flight at a disconnect; `autoResendUnfulfilledCommands: false` would leave it pending for ever.
        { maxRetriesPerRequest: 0 }
      : { maxRetriesPerRequest: null }),
    ...(profile === 'lent' ? { maxRetriesPerRequest: 0, retryStrategy: () => null } : {}),
    // The hub subscribes anew by itself: the promises of ioredis' own resubscription are nobody's to catch.
    ...(profile === 'subscriber' ? { autoResubscribe: false } : {}),
    // After a resubscription of ioredis' own it would be a subscriber before it could ask for its id.
    ...(profile === 'tracking' ? { protocol: 2, autoResubscribe: false, enableOfflineQueue: false } : {}),
  };
}

export function clusterProfileOptions(
  profile: ConnectionProfile,
  options: ResolvedRedisOptions,
): ClusterOptions & { redisOptions: NodeOptions } {
  return {
    lazyConnect: true,
    enableReadyCheck: true,
    clusterRetryStrategy: reconnectDelay,
    // 0: a command whose node went away is rejected, not sent again (see `request`). Refusals (MOVED, ASK, TRYAGAIN,
    // CLUSTERDOWN) were not carried out, so ioredis may follow them.
    retryDelayOnFailover: profile === 'request' ? 0 : 100,
    slotsRefreshTimeout: options.connectTimeoutMs,
    slotsRefreshInterval: 5_000,
    ...clusterOnly(options.ioredis),
    redisOptions: profileOptions(profile, options),
  };
}

function shared(options: ResolvedRedisOptions): NodeOptions {
  return {
    ...nodeOnly(options.ioredis),
    lazyConnect: true,
    enableReadyCheck: true,
    enableOfflineQueue: true,
    enableAutoPipelining: false,
    connectTimeout: options.connectTimeoutMs,
    // How long a cut connection may take to say goodbye; less than closing waits for it.
    disconnectTimeout: Math.min(100, options.shutdownTimeoutMs / 2),
    retryStrategy: reconnectDelay,
    replyMapping: 'legacy',
    // After a failover the old master is read-only: reconnect, but let the caller decide about the command (2 would send it again).
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  };
}

function nodeOnly(given: ResolvedRedisOptions['ioredis']): RedisOptions {
  const { natMap: _natMap, dnsLookup: _dnsLookup, slotsRefreshInterval: _refresh, ...node } = given;
  return { keepAlive: 30_000, ...node };
}

function clusterOnly({ natMap, dnsLookup, slotsRefreshInterval }: ResolvedRedisOptions['ioredis']): ClusterOptions {
  return {
    ...(natMap === undefined ? {} : { natMap }),
    ...(dnsLookup === undefined ? {} : { dnsLookup }),
    ...(slotsRefreshInterval === undefined ? {} : { slotsRefreshInterval }),
  };
}
