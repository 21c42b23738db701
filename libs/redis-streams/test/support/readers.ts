import type { TestingModule } from '@nestjs/testing';
import { hashSlot } from '@redstart/redis-core';
import { eventually, type RedisServer, type TopologyUnderTest } from '@redstart/redis-testing';
import {
  defineStream,
  event,
  getStreamToken,
  StreamConsumer,
  StreamHandler,
  type StreamConsumerOptions,
  type StreamContext,
  type StreamDefinition,
  type StreamProducer,
} from '../../src/index.js';

export interface Counted {
  n: number;
}

export const keyOf = (name: string): string => `shop:stream:{${name}}`;

export const countedStream = (name: string) => defineStream(name, { events: { counted: event<Counted>() } });

/** A class that consumes a stream. */
export function consumerOf(
  stream: StreamDefinition,
  handle: (payload: Counted, ctx: StreamContext) => unknown,
  options: Partial<StreamConsumerOptions> = {},
) {
  @StreamConsumer(stream, { group: 'billing', ...options })
  class Billing {
    @StreamHandler('counted')
    counted(payload: Counted, ctx: StreamContext): unknown {
      return handle(payload, ctx);
    }
  }
  return Billing;
}

export function producerOf(
  app: TestingModule,
  stream: StreamDefinition,
): StreamProducer<ReturnType<typeof countedStream>> {
  return app.get(getStreamToken(stream));
}

/** Streams that one reader reads together, also on a Cluster: there they are of one slot. */
export function streamsTogether(count: number, redis: TopologyUnderTest) {
  const names: string[] = [];
  const slotOf = (name: string) => (redis.topology === 'cluster' ? hashSlot(keyOf(name)) : 0);
  const slot = slotOf('counted-0');
  for (let at = 0; names.length < count; at += 1) {
    if (slotOf(`counted-${at}`) === slot) names.push(`counted-${at}`);
  }
  return names.map(countedStream);
}

export function twoTogether(redis: TopologyUnderTest) {
  const [first, second] = streamsTogether(2, redis);
  if (first === undefined || second === undefined) throw new Error('There are two.');
  return [first, second] as const;
}

/** The ids of the connections whose last command was a read of a group. */
export async function readersOf(servers: readonly RedisServer[]): Promise<string[]> {
  const ids: string[] = [];
  for (const server of servers) {
    const list = await server.ask(async (client) => String(await client.client('LIST')));
    for (const [, id = ''] of list.matchAll(/^id=(\d+) .*cmd=xreadgroup( |$)/gm)) ids.push(`${server.port}/${id}`);
  }
  return ids.toSorted();
}

/** Waits until so many connections are blocked in a read of a group. */
export async function blockedReaders(servers: readonly RedisServer[], count: number): Promise<void> {
  const blocked = async () => {
    const counts = await Promise.all(
      servers.map((server) =>
        server.ask(async (client) => Number(/^blocked_clients:(\d+)/m.exec(await client.info('clients'))?.[1])),
      ),
    );
    expect(counts.reduce((sum, one) => sum + one, 0)).toBe(count);
  };
  await eventually(blocked, { within: 20_000 });
}

/** Breaks the connections that read for groups at present. */
export async function killReaders(servers: readonly RedisServer[]): Promise<void> {
  for (const reader of await readersOf(servers)) {
    const [port, id = ''] = reader.split('/');
    const server = servers.find((one) => String(one.port) === port);
    await server?.ask((client) => client.client('KILL', 'ID', id));
  }
}
