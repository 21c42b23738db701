import type { Cluster, Redis } from 'ioredis';
import type { RedisClient } from '../redis.options.js';

/** Tells the two kinds of client apart. By a property, not by class: an application may hold two copies of ioredis. */
export function isCluster(client: RedisClient): client is Cluster {
  return client.isCluster;
}

/** The connections that take writes: one, or one per master of a Cluster. */
export function mastersOf(client: RedisClient): Redis[] {
  return isCluster(client) ? client.nodes('master') : [client];
}

/** The master that owns a slot, as the `host:port` where it is reached; undefined when it is not known, or there is no Cluster. */
export function ownerOf(client: RedisClient, slot: number): string | undefined {
  if (!isCluster(client)) return undefined;
  const owner = client.slots[slot]?.[0];
  return owner === undefined ? undefined : reachedAt(client, owner);
}

/**
 * Where a server is reached. ioredis maps the addresses that CLUSTER SLOTS tells by `natMap`, but writes down the one of a MOVED as it is; until the slots are asked for anew, it
 * would lead nowhere, or past what stands in between.
 */
function reachedAt(client: Cluster, server: string): string {
  const { natMap } = client.options;
  if (natMap === undefined) return server;
  const known = new Set(client.nodes().map(({ options: { host, port } }) => `${host}:${port}`));
  if (known.has(server)) return server;
  const mapped = typeof natMap === 'function' ? natMap(server) : natMap[server];
  const address = mapped ? `${mapped.host}:${mapped.port}` : server;
  // A function may map any address, also one that it has made.
  return known.has(address) ? address : server;
}
