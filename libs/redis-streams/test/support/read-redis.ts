import { eventually } from '@redstart/redis-testing';
import type { Cluster, Redis } from 'ioredis';

type Client = Redis | Cluster;

export const ordersKey = 'shop:stream:{orders}';
export const billingDeadLetters = 'shop:stream:{orders}:dlq:billing';

export interface PendingRow {
  id: string;
  consumer: string;
  idleMs: number;
  deliveries: number;
}

/** XPENDING, in full. */
export async function pending(client: Client, group = 'billing', stream = ordersKey): Promise<PendingRow[]> {
  const rows = (await client.xpending(stream, group, '-', '+', 1_000)) as [string, string, number, number][];
  return rows.map(([id, consumer, idleMs, deliveries]) => ({ id, consumer, idleMs, deliveries }));
}

/** Waits until nothing that a group was given is under way. All places at one moment: an entry that changes from one to another while they are asked is seen in none. */
export async function settled(client: Client, group = 'billing', stream = ordersKey): Promise<void> {
  const retries = `${stream}:retry:${group}`;
  await eventually(async () => {
    const places = await client.multi().xpending(stream, group).xlen(retries).zcard(`${retries}:due`).exec();
    const left = places?.map(([error, count]) => error ?? (Array.isArray(count) ? (count[0] as unknown) : count));
    expect(left).toEqual([0, 0, 0]);
  });
}

/** Lets all pending entries look as if nobody had renewed them for so long. */
export async function age(client: Client, idleMs: number, group = 'billing', stream = ordersKey): Promise<void> {
  for (const { id, consumer } of await pending(client, group, stream)) {
    await client.call('xclaim', stream, group, consumer, 0, id, 'IDLE', idleMs, 'JUSTID');
  }
}

/** The entries of a stream with their fields by name. */
export async function entries(client: Client, stream: string): Promise<Record<string, string>[]> {
  const found = await client.xrange(stream, '-', '+');
  return found.map(([, fields]) => {
    const byName: Record<string, string> = {};
    for (let at = 0; at + 1 < fields.length; at += 2) byName[String(fields[at])] = String(fields[at + 1]);
    return byName;
  });
}

/** The names of a group's consumers. */
export async function consumers(client: Client, group = 'billing', stream = ordersKey): Promise<string[]> {
  const rows = (await client.xinfo('CONSUMERS', stream, group)) as unknown[][];
  return rows.map((row) => String(row[1]));
}
