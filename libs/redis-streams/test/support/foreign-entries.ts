import type { Cluster, Redis } from 'ioredis';
import { billingDeadLetters, ordersKey } from './read-redis.js';

type Client = Redis | Cluster;

/** The fields of a message as a producer writes them. */
export const orderFields = (id: number, headers = ''): string[] => [
  ...['t', 'order.created', 'd', JSON.stringify({ id }), 'i', `m-${id}`, 'k', '', 'h', headers],
];

/** Adds so many messages to a stream. @returns their ids */
export function addOrders(client: Client, count: number, stream = ordersKey): Promise<string[]> {
  const add = async (id: number) => (await client.xadd(stream, '*', ...orderFields(id))) ?? '';
  return Promise.all(Array.from({ length: count }, (_, index) => add(index + 1)));
}

/** Lets a consumer of a group be given the next entries, and does nothing with them. */
export async function deliver(client: Client, count: number, consumer = 'c-1', stream = ordersKey): Promise<void> {
  await client.xreadgroup('GROUP', 'billing', consumer, 'COUNT', count, 'STREAMS', stream, '>');
}

/** Adds a dead letter as a consumer that gives up writes it. @returns its id */
export async function addLetter(
  client: Client,
  id: number,
  { reason = 'attempts', error = 'Error', headers = '', fields = orderFields(id, headers), at = '*' } = {},
): Promise<string> {
  const story = [
    ...['x-id', `100-${id}`, 'x-stream', 'orders', 'x-group', 'billing', 'x-consumer', 'c-1', 'x-attempts', '3'],
    ...[
      'x-deliveries',
      '5',
      'x-reason',
      reason,
      'x-error',
      error,
      'x-message',
      `no ${id}`,
      'x-stack',
      `${error}: no ${id}`,
    ],
  ];
  return (await client.xadd(billingDeadLetters, at, ...story, ...fields)) ?? '';
}
