import type { OnModuleInit } from '@nestjs/common';
import type { DiscoveryService } from '@nestjs/core';
import { RedisCommandError, RedisUnavailableError, type RedisConnections } from '@redstart/redis-core';
import { discoverConsumers } from './consumer/consumer-discovery.js';
import type { StreamDefinition } from './definition/define-stream.js';
import { partitionKeys } from './keys.js';
import { StreamTypeError } from './streams.errors.js';
import type { RedisStreams } from './streams.service.js';

/** A stream, and the groups that read it here; none where it is only published to. */
export interface StreamUse {
  readonly stream: StreamDefinition;
  readonly groups: readonly string[];
}

/** Refuses to start an application one of whose streams is something else: it would run on without its messages, and only its log would tell. */
export class BootCheck implements OnModuleInit {
  constructor(
    private readonly streams: RedisStreams,
    private readonly discovery: DiscoveryService,
    private readonly connections: RedisConnections,
  ) {}

  async onModuleInit(): Promise<void> {
    try {
      await checkStreamTypes(this.streams, this.#uses());
    } catch (error) {
      // Nest calls no further hook of an application that does not start: what has connected would stay open.
      await this.connections.closeAll();
      throw error;
    }
  }

  #uses(): StreamUse[] {
    const { streams, options } = this.streams;
    const consumers = options.consumers ? discoverConsumers(this.discovery) : [];
    return streams.map((stream) => ({
      stream,
      groups: consumers.filter(({ metadata }) => metadata.stream === stream).map(({ metadata }) => metadata.group),
    }));
  }
}

/**
 * Looks at every key that has to be a stream: each stream or its partitions, and of each group what it tries again and what it gave up on.
 *
 * An outage is no reason to refuse, and where nobody waited for the connection (`startup: 'lazy'`) there is none to ask yet: then the readers find out, and leave out what they can't read.
 *
 * @throws StreamTypeError for a key that holds something else
 * @see  one TYPE per key, in one write
 */
export async function checkStreamTypes(streams: RedisStreams, uses: readonly StreamUse[]): Promise<void> {
  if (streams.connection.client.status !== 'ready') return;
  const keys = uses.flatMap(({ stream, groups }) =>
    partitionKeys(streams.connection.keys, stream).flatMap((of) => [
      of.stream,
      ...groups.flatMap((group) => [of.retry(group), of.deadLetters(group)]),
    ]),
  );
  const found = await Promise.all(keys.map(async (key) => ({ key, type: await typeOf(streams, key) })));
  for (const { key, type } of found) {
    if (type !== undefined && type !== 'none' && type !== 'stream') throw new StreamTypeError(key, { found: type });
  }
}

/** @returns `undefined` when Redis does not tell */
async function typeOf({ connection, options }: RedisStreams, key: string): Promise<string | undefined> {
  const budgetMs = options.commandTimeoutMs;
  const call = { library: 'redis-streams', operation: 'streams.checkType', budgetMs };
  try {
    return await connection.call(call, (client) => client.type(key));
  } catch (error) {
    // An outage, or a user without the permission for TYPE, which nothing else here needs.
    if (error instanceof RedisUnavailableError || error instanceof RedisCommandError) return undefined;
    throw error;
  }
}
