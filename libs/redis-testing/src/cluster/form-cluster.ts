import type { Redis } from 'ioredis';
import { ClusterNotReadyError } from '../errors.js';
import { eventually } from '../eventually.js';
import { infoField } from '../server/info-field.js';
import { ownId, viewOf } from './node-view.js';

export const SLOTS = 16_384;
const READY_WITHIN_MS = 30_000;

/** A node that has been started, not yet part of a cluster. */
export interface Newcomer {
  readonly redis: Redis;
  readonly host: string;
  readonly port: number;
  readonly busPort: number;
}

/**
 * Makes one cluster of separate nodes: the first `masters` share the slots evenly, the last `spares` own none, those in between replicate the masters in turn.
 * Resolves when every node reports that it is complete. Masters refuse to serve for their first 2 s, so it takes that.
 */
export async function formCluster(
  nodes: readonly Newcomer[],
  { masters, spares }: { masters: number; spares: number },
): Promise<void> {
  await Promise.all(nodes.slice(0, masters).map((node, index) => assignSlots(node.redis, index, masters)));
  await introduceAll(nodes);
  const replicas = nodes.slice(masters, nodes.length - spares);
  try {
    const within = { within: READY_WITHIN_MS };
    await eventually(() => everyoneKnowsEveryone(nodes), within);
    await Promise.all(replicas.map((replica, index) => replicate(replica, nodes[index % masters])));
    await eventually(() => complete(nodes, replicas), within);
  } catch (cause) {
    throw new ClusterNotReadyError(`The ${nodes.length} nodes did not form a cluster. ${String(cause)}`, { cause });
  }
}

async function assignSlots(master: Redis, index: number, masters: number): Promise<void> {
  // Distinct epochs from the start save the nodes the round in which they would settle a conflict.
  await master.call('CLUSTER', 'SET-CONFIG-EPOCH', index + 1);
  const from = Math.floor((index * SLOTS) / masters);
  const to = Math.floor(((index + 1) * SLOTS) / masters) - 1;
  await master.call('CLUSTER', 'ADDSLOTSRANGE', from, to);
}

/** Everyone meets everyone: waiting for gossip to spread the word would take longer. */
async function introduceAll(nodes: readonly Newcomer[]): Promise<void> {
  const pairs = nodes.flatMap((node, index) => nodes.slice(index + 1).map((other) => [node, other] as const));
  await Promise.all(
    pairs.map(([node, { host, port, busPort }]) => node.redis.call('CLUSTER', 'MEET', host, port, busPort)),
  );
}

async function everyoneKnowsEveryone(nodes: readonly Newcomer[]): Promise<void> {
  for (const { redis, port } of nodes) {
    const view = await viewOf(redis);
    const known = view.filter(({ flags }) => !flags.includes('handshake') && !flags.includes('noaddr'));
    if (known.length !== nodes.length) throw new Error(`Port ${port} knows ${known.length} of ${nodes.length} nodes.`);
  }
}

async function replicate(replica: Newcomer, master: Newcomer | undefined): Promise<void> {
  if (master === undefined) throw new Error('A replica needs a master.');
  await replica.redis.call('CLUSTER', 'REPLICATE', await ownId(master.redis));
}

async function complete(nodes: readonly Newcomer[], replicas: readonly Newcomer[]): Promise<void> {
  for (const { redis, port } of nodes) {
    const state = infoField(String(await redis.call('CLUSTER', 'INFO')), 'cluster_state');
    if (state !== 'ok') throw new Error(`Port ${port} says cluster_state:${state ?? '?'}.`);
    const view = await viewOf(redis);
    const seen = view.filter(({ flags }) => flags.includes('slave')).length;
    if (seen !== replicas.length) throw new Error(`Port ${port} sees ${seen} of ${replicas.length} replicas.`);
  }
  for (const { redis, port } of replicas) {
    const link = infoField(await redis.info('replication'), 'master_link_status');
    if (link !== 'up') throw new Error(`The replica on port ${port} says master_link_status:${link ?? '?'}.`);
  }
}
