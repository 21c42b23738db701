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

/** The master that owns a slot, as `host:port`; undefined when it is not known, or there is no Cluster. */
export function ownerOf(client: RedisClient, slot: number): string | undefined {
  return isCluster(client) ? client.slots[slot]?.[0] : undefined;
}
