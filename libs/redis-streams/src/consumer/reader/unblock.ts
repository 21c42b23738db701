import type { RedisClient, RedisConnection, RedisCall } from '@redstart/redis-core';
import type { Cluster, Redis } from 'ioredis';

/**
 * Ends the blocked read of another connection, as if its time were over: it is answered, so nothing that was delivered gets lost.
 *
 * @param reader the connection that is blocked
 * @param id its CLIENT ID
 * @returns whether it was blocked; also false when the server can't be asked
 * @see  one CLIENT UNBLOCK, on a Cluster to the reader's node
 */
export async function unblock(
  connection: RedisConnection,
  call: RedisCall,
  reader: RedisClient,
  id: number,
): Promise<boolean> {
  try {
    return await connection.call(call, async (client) => {
      const node = nodeOf(client, reader);
      return node !== undefined && (await node.client('UNBLOCK', id)) === 1;
    });
  } catch {
    // Without permission for CLIENT, or in an outage: whoever asked has another way to end the read.
    return false;
  }
}

/** The request connection to the server that the reader is connected to: ids of clients mean nothing elsewhere. */
function nodeOf(client: RedisClient, reader: RedisClient): Redis | undefined {
  if (!isCluster(client)) return client;
  if (isCluster(reader)) return undefined;
  const { host, port } = reader.options;
  return client.nodes('master').find(({ options }) => options.host === host && options.port === port);
}

/** By a property, not by class: an application may hold two copies of ioredis. */
function isCluster(client: RedisClient): client is Cluster {
  return client.isCluster;
}
